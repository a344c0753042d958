"""Saved encoders, opened by another process."""

import subprocess
import sys
from pathlib import Path


def saved_again_without_pytorch(folder: Path, copy: Path) -> str:
    """Load an encoder and save it again where PyTorch must not be imported; return its digest."""
    code = (
        "import sys; from pathlib import Path; from embedding.encoders import load_encoder\n"
        "encoder = load_encoder(Path(sys.argv[1]))\n"
        "encoder.save(Path(sys.argv[2]))\n"
        "encoder.summary()\n"
        "assert 'torch' not in sys.modules\n"
        "print(encoder.digest())"
    )
    arguments = [sys.executable, "-c", code, str(folder), str(copy)]
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()
