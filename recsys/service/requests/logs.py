"""Logs of the service as lines of JSON, without secrets and without control characters."""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

from datasets.texts.safe_text import hide_password

ACCESS = logging.getLogger("coldtune.access")
"""One line for each request."""

_EXTRA = (
    "request_id", "method", "route", "path", "status", "milliseconds", "bytes", "client", "key",
    "process",
)  # fmt: skip
"""Facts that a line may have besides its message."""

_LONGEST = 4000


class JsonLines(logging.Formatter):
    """Formats each record as one line of JSON in ASCII, so that no text can add a line.

    Examples:
        >>> record = logging.LogRecord("a", logging.INFO, "", 0, "Song\\n\\x1b[2J", (), None)
        >>> "\\n" in JsonLines().format(record), json.loads(JsonLines().format(record))["level"]
        (False, 'info')
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": time,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": hide_password(record.getMessage())[:_LONGEST],
        }
        facts = {name: getattr(record, name, None) for name in _EXTRA}
        line |= {name: value for name, value in facts.items() if value is not None}
        if record.exc_info and record.exc_info[0] is not None:
            told = "".join(traceback.format_exception(*record.exc_info))
            line["traceback"] = hide_password(told)[-4 * _LONGEST :]
        return json.dumps(line)


def set_up_logs(level: int = logging.INFO) -> None:
    """Let everything that this process logs be lines of JSON on the standard error output."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    for one in list(root.handlers):
        root.removeHandler(one)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("coldtune").setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        own = logging.getLogger(name)
        own.handlers.clear()
        own.propagate = True
        own.setLevel(logging.WARNING)
    logging.captureWarnings(True)
