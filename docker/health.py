"""Ends with 0 if the service in this container is ready: its health check."""

import os
import sys
from urllib.request import urlopen

PORT = os.environ.get("COLDTUNE_PORT", "8000")

try:
    with urlopen(f"http://127.0.0.1:{PORT}/health/ready", timeout=4) as answer:
        sys.exit(answer.status != 200)
except OSError as error:
    sys.exit(str(error))
