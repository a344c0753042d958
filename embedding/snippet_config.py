"""Settings of what part of a recording is listened to."""

from typing import Literal

from pydantic import Field

from datasets.settings import Settings


class SnippetConfig(Settings):
    """Which part of a recording is listened to."""

    seconds: float = Field(default=5.0, ge=0.25, le=600.0)
    """Length of a snippet. A shorter recording is repeated until it fills the snippet."""

    position: Literal["start", "middle", "end"] = "middle"
    """Where the snippet is taken when there is one; several are spread evenly instead."""

    count: int = Field(default=1, ge=1, le=1000)
    """Number of snippets, evenly spaced; a recording shorter than a snippet gives one."""
