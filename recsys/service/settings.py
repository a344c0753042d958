"""Settings of the service: where it listens, what it serves, and its limits."""

import ipaddress
import re
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from datasets.settings import Settings

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?")


class ServiceSettings(Settings):
    """Settings of the service that `coldtune serve` starts.

    Sizes are in bytes and times in seconds.

    Examples:
        >>> ServiceSettings(port=8080).is_loopback
        True
        >>> ServiceSettings(host="0.0.0.0")
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: ServiceSettings: without a file of keys the service \
listens on this machine alone (127.0.0.1, ::1 or localhost), not on '0.0.0.0'; make a key with \
coldtune key add, and give its file with --keys
    """

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = Field(8000, ge=0, le=65_535)
    """Port to listen on; 0 for any that is free."""

    workers: int = Field(1, ge=1, le=256)
    """Processes that answer."""

    keys: Path | None = None
    """File of the API keys (`recsys.service.requests.keys`). None: no key is asked for, which is
    only possible on a loopback address."""

    audio_folders: tuple[Path, ...] = ()
    """Folders whose recordings may be listened to; none by default."""

    uploads: Path | None = None
    """Folder that keeps the recordings that are uploaded; None keeps none. It is one of those that
    may be listened to."""

    origins: tuple[str, ...] = ()
    """Origins such as ``https://music.example`` whose pages may ask (CORS); none by default."""

    url: str = ""
    """Address by which clients reach the service, for playlists; "" for the one they asked."""

    page: bool = True
    """Whether the page for people is served."""

    max_body: int = Field(1 << 20, ge=1024)
    """Largest body of a request that is no upload."""

    max_upload: int = Field(200 << 20, ge=1024)
    """Largest upload."""

    upload_seconds: float = Field(120.0, gt=0, le=86_400)
    """Time within which the body of a request has to arrive."""

    header_seconds: float = Field(10.0, gt=0, le=3600)
    """Time within which the head of a request has to arrive."""

    keep_alive_seconds: float = Field(10.0, gt=0, le=3600)
    """Time for which a connection is kept open without a request."""

    max_sound_seconds: float = Field(4 * 3600.0, gt=0)
    """Longest recording that is taken in, as its header says."""

    max_k: int = Field(1000, ge=1)
    """Longest list, and longest playlist."""

    max_ids: int = Field(10_000, ge=1)
    """Ids in one request at most: of a history, of items to choose from, of items left out."""

    max_plays: int = Field(10_000, ge=1)
    """Plays in one request at most."""

    read_threads: int = Field(2, ge=1, le=256)
    """Questions that are computed at once, in each process. Python computes one at a time: more
    threads make all of them wait for one another, and only keep long ones from holding up short."""

    read_queue: int = Field(256, ge=0)
    """Questions that wait for a thread at most; what comes then is refused (503)."""

    read_seconds: float = Field(10.0, gt=0, le=3600)
    """Time after which a question that is not answered is given up (503)."""

    write_queue: int = Field(64, ge=0)
    """Changes that wait for their turn at most."""

    write_seconds: float = Field(120.0, gt=0, le=3600)
    """Time after which a change that is not done is no longer waited for (503)."""

    decodes: int = Field(1, ge=1, le=64)
    """Recordings that are heard at once, in each process."""

    onboard_queue: int = Field(16, ge=0)
    """Recordings that wait to be heard at most."""

    connections: int = Field(1000, ge=1)
    """Connections that are open at once in each process at most."""

    refresh_seconds: float = Field(0.25, gt=0, le=3600)
    """Interval at which a process looks for what others have done to the model."""

    stop_seconds: float = Field(30.0, gt=0, le=3600)
    """Time that requests have to end when the service is stopped."""

    @field_validator("origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"an origin is a scheme and a host, as in https://music.example, not {origin!r}"
                )
        return origins

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[!-~]+", url):
            raise ValueError(f"must begin with http:// or https://, not {url!r}")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _check_open(self) -> Self:
        if self.keys is None and not self.is_loopback:
            raise ValueError(
                "without a file of keys the service listens on this machine alone (127.0.0.1, ::1 "
                f"or localhost), not on {self.host!r}; make a key with coldtune key add, and give "
                "its file with --keys"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return is_loopback(self.host)

    @property
    def playable_folders(self) -> tuple[Path, ...]:
        """The folders whose recordings may be listened to."""
        kept = () if self.uploads is None else (self.uploads,)
        return (*self.audio_folders, *kept)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by a name or an address that only it can reach.

    Examples:
        >>> [is_loopback(host) for host in ("localhost", "127.0.0.2", "[::1]", "example.org")]
        [True, True, True, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
