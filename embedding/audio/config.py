"""Settings of which part of a recording is used."""

from typing import Literal, Self

from pydantic import Field, model_validator

from datasets.settings import Settings

Position = Literal["start", "middle", "end", "random", "at", "whole"]


class SnippetConfig(Settings):
    """Which part of a recording is used (US 2018/0276540 A1, paragraphs 35, 36, 45 to 47).

    By default 5 s from the middle.

    Examples:
        >>> from embedding import SnippetConfig
        >>> SnippetConfig().seconds
        5.0
        >>> three = SnippetConfig(count=3)                              # evenly spaced
        >>> one = SnippetConfig(seconds=1, position="random", seed=7)
        >>> late = SnippetConfig(position="at", at=72.5)                # from 1:12.5 on
        >>> all_of_it = SnippetConfig(position="whole", hop=2.5)        # half overlapping
        >>> SnippetConfig(seconds=0)
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: SnippetConfig: seconds: Input should be ...
    """

    seconds: float = Field(default=5.0, ge=0.05, le=86_400.0)
    """Length of a snippet."""

    short: Literal["repeat", "pad"] = "repeat"
    """How a recording shorter than the snippet is filled up: ``repeat`` it, or ``pad`` it with
    silence."""

    position: Position = "middle"
    """Where the snippet is taken. ``start``, ``middle``, ``end``, ``random``: in the recording, or
    in each of ``count`` equal parts of it. ``at``: from the time ``at`` on. ``whole``: the whole
    recording as a sequence of windows."""

    count: int = Field(default=1, ge=1, le=1000)
    """Number of snippets: the recording is divided into this many equal parts, and one snippet is
    taken from each. A recording shorter than a snippet gives one."""

    at: float | None = Field(default=None, ge=0.0, le=1e6)
    """Start time of the snippet in seconds, for position ``at``. A snippet that would run over the
    end is moved back to end with the recording."""

    hop: float | None = Field(default=None, ge=0.05, le=86_400.0)
    """Seconds between the starts of successive windows, for position ``whole``. None means
    ``seconds``: no overlap and no gap. The last window ends with the recording."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of position ``random``, combined with the content of the recording: the same recording
    and seed give the same snippets."""

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
