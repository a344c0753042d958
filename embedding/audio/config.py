"""Settings of what part of a recording is listened to."""

from typing import Literal, Self

from pydantic import Field, model_validator

from datasets.settings import Settings

Position = Literal["start", "middle", "end", "random", "at", "whole"]


class SnippetConfig(Settings):
    """Which part of a recording is listened to (US 2018/0276540 A1, paragraphs 35, 36, 45 to 47).

    >>> SnippetConfig()                                             # 5 s from the middle
    >>> SnippetConfig(count=3)                                      # 3 of them, evenly spaced
    >>> SnippetConfig(seconds=1, position="random", seed=7)
    >>> SnippetConfig(position="at", at=72.5)                       # from 1:12.5 on
    >>> SnippetConfig(position="whole", seconds=5, hop=2.5)         # all of it, half overlapping
    """

    seconds: float = Field(default=5.0, ge=0.05, le=86_400.0)
    """Length of a snippet."""

    short: Literal["repeat", "pad"] = "repeat"
    """What becomes of a recording shorter than a snippet: it is repeated until it fills the
    snippet, or silence follows it."""

    position: Position = "middle"
    """Where the snippet is taken. ``start``, ``middle``, ``end``, ``random``: of the recording, or
    of each of ``count`` equal parts of it. ``at``: from the time ``at`` on. ``whole``: the whole
    recording as a sequence of windows."""

    count: int = Field(default=1, ge=1, le=1000)
    """Number of snippets, evenly spaced: each from its own of so many equal parts of the recording.
    A recording shorter than a snippet gives one."""

    at: float | None = Field(default=None, ge=0.0, le=1e6)
    """Seconds from the beginning of the recording to that of the snippet, for position ``at``. A
    snippet that would run over the end is the last that does not."""

    hop: float | None = Field(default=None, ge=0.05, le=86_400.0)
    """Seconds from the beginning of a window to that of the next, for position ``whole``; where not
    given, ``seconds``, so that windows neither overlap nor leave gaps. The last window ends with
    the recording."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Decides, with the content of the recording, the places of position ``random``: the same
    recording and seed give the same places."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.at is None) == (self.position == "at"):
            raise ValueError("at: position 'at' and a time belong together")
        if self.hop is not None and self.position != "whole":
            raise ValueError("hop: only position 'whole' has one")
        if self.seed and self.position != "random":
            raise ValueError("seed: only position 'random' has one")
        if self.count > 1 and self.position in ("at", "whole"):
            raise ValueError(f"count: must be 1 for position {self.position!r}")
        return self
