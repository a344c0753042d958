"""What a scrobbler submits to ListenBrainz, checked as ListenBrainz checks it."""

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, NoReturn

from datasets.errors import ColdtuneError
from datasets.tables.values import is_unicode
from recsys.service.listens.matching import Track, mbid_of

MOST_LISTENS = 1000
"""Listens in one request at most."""

LARGEST_LISTEN = 10_240
"""Bytes of a listen at most."""

LARGEST = MOST_LISTENS * LARGEST_LISTEN
"""Bytes of a request at most."""

_MOST_TAGS, _LONGEST_TAG = 50, 64
_EARLIEST = 1_033_410_600
"""2002-10-01, when scrobbling began."""
_AHEAD = 3600
"""Seconds by which a clock may be fast."""
_LONGEST_SECONDS = 24 * 24 * 3600
_DEEPEST = 32

_PATHS = (
    "path", "media_path", "file_path", "filepath", "file", "filename", "file_name", "media_file",
    "local_path", "location", "uri", "media_uri", "origin_url",
)  # fmt: skip
"""Members of additional_info in which players tell where the recording is."""

_IDS = ("recording_mbid", "track_mbid")
_SINGLE_IDS = ("release_mbid", "recording_mbid", "release_group_mbid", "track_mbid")
_LISTED_IDS = ("artist_mbids", "work_mbids")


class SubmissionError(ColdtuneError, ValueError):
    """What was submitted is not what ListenBrainz takes; the message is its own."""


class Submission(NamedTuple):
    """The listens of one request."""

    kind: Literal["single", "import", "playing_now"]
    listens: list[tuple[int, Track]]
    """When each track was listened to, in seconds since 1970; 0 for what is playing now."""


def read_submission(body: bytes) -> Submission:
    """Read and check the body of a request.

    Raises:
        SubmissionError: says what is wrong, in ListenBrainz' words.

    Examples:
        >>> import json
        >>> listen = {"track_metadata": {"artist_name": "Ana", "track_name": "Blue"}}
        >>> body = json.dumps({"listen_type": "playing_now", "payload": [listen]}).encode()
        >>> read_submission(body).listens[0][1].title
        'Blue'
        >>> read_submission(body.replace(b"playing_now", b"single"))
        Traceback (most recent call last):
        recsys.service.players.submissions.SubmissionError: JSON document must contain the key \
listened_at at the top level.
    """
    if len(body) > LARGEST:
        _refuse(f"Payload too large. Payload cannot exceed {LARGEST} bytes")
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        _refuse(f"Cannot parse JSON document: {str(error)[:200]}")
    if not isinstance(document, dict):
        _refuse("Invalid JSON document submitted. Top level of JSON document should be a json "
                "object.")  # fmt: skip
    if "payload" not in document or "listen_type" not in document:
        _refuse("Invalid JSON document submitted.")
    payload, kind = document["payload"], document["listen_type"]
    if not isinstance(payload, list):
        _refuse("The payload in the JSON document should be a list of listens.")
    if not payload:
        _refuse("JSON document does not contain any listens")
    if len(payload) > MOST_LISTENS:
        _refuse(f"Too many listens. You may not submit more than {MOST_LISTENS} listens at once.")
    if len(body) > len(payload) * LARGEST_LISTEN or any(map(_is_too_large, payload)):
        _refuse(f"JSON document is too large. Each listens may not be larger than {LARGEST_LISTEN} "
                "bytes.")  # fmt: skip
    if not isinstance(kind, str) or kind not in ("single", "import", "playing_now"):
        _refuse("JSON document requires a valid listen_type key.")
    if kind != "import" and len(payload) > 1:
        _refuse("JSON document contains more than listen for a single/playing_now. "
                "It should contain only one.")  # fmt: skip
    now = int(time.time())
    return Submission(
        kind,  # type: ignore[arg-type]
        [_listen(one, now, is_past=kind != "playing_now") for one in payload],
    )


def _refuse(message: str) -> NoReturn:
    raise SubmissionError(message)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")


def _is_too_large(listen: object) -> bool:
    try:
        text = json.dumps(listen, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return True
    return len(text.encode("utf-8", "surrogatepass")) > LARGEST_LISTEN


def _listen(listen: Any, now: int, *, is_past: bool) -> tuple[int, Track]:
    if not isinstance(listen, dict) or not listen:
        _refuse("Listen is empty and cannot be validated.")
    listened_at = 0
    if is_past:
        listened_at = _listened_at(listen, now)
    elif "listened_at" in listen:
        _refuse("JSON document must not contain listened_at while submitting playing_now.")
    if "track_metadata" not in listen:
        _refuse("JSON document must contain the key track_metadata at the top level.")
    if is_past and len(listen) > 2:
        _refuse("JSON document may only contain listened_at and track_metadata top level keys")
    if not is_past and len(listen) > 1:
        _refuse("JSON document may only contain track_metadata as top level key when submitting "
                "playing_now.")  # fmt: skip
    told = listen["track_metadata"]
    if told is None:
        _refuse("JSON document may not have track_metadata with null value.")
    if not isinstance(told, dict):
        _refuse("track_metadata must be a json object.")
    _check_texts(listen)
    title, artist = _text(told, "track_name"), _text(told, "artist_name")
    album = _text(told, "release_name", required=False)
    info = told.get("additional_info")
    if info is not None and not isinstance(info, dict):
        _refuse("track_metadata.additional_info must be a json object.")
    info = info or {}
    _check_info(info)
    return listened_at, Track(artist, title, album, _mbids(told, info), _path(info))


def _listened_at(listen: Mapping[str, Any], now: int) -> int:
    if "listened_at" not in listen:
        _refuse("JSON document must contain the key listened_at at the top level.")
    try:
        found = int(listen["listened_at"])
    except (ValueError, TypeError, OverflowError):
        _refuse("JSON document must contain an int value for listened_at.")
    if found >= now + _AHEAD:
        _refuse("Value for key listened_at is too high.")
    if found < _EARLIEST:
        _refuse(f"Value for key listened_at is too low. listened_at timestamp should be greater "
                f"than {_EARLIEST} (2002-10-01 00:00:00 UTC).")  # fmt: skip
    return found


def _text(told: Mapping[str, Any], key: str, *, required: bool = True) -> str:
    if key not in told or (told[key] is None and not required):
        if required:
            _refuse(f"JSON document does not contain required field track_metadata.{key}.")
        return ""
    value = told[key]
    if not isinstance(value, str):
        _refuse(f"track_metadata.{key} must be a single string.")
    if not value.strip():
        _refuse(f"field track_metadata.{key} is empty.")
    return value.strip()


def _check_info(info: dict[str, Any]) -> None:
    """Check tags, durations and MusicBrainz ids."""
    tags = info.get("tags") or []
    if not isinstance(tags, list):
        _refuse("track_metadata.additional_info.tags must be a list.")
    if len(tags) > _MOST_TAGS:
        _refuse(f"JSON document may not contain more than {_MOST_TAGS} items in "
                "track_metadata.additional_info.tags.")  # fmt: skip
    if any(not isinstance(tag, str) or len(tag) > _LONGEST_TAG for tag in tags):
        _refuse("JSON document may not contain track_metadata.additional_info.tags longer than "
                f"{_LONGEST_TAG} characters.")  # fmt: skip
    if "duration" in info and "duration_ms" in info:
        _refuse("JSON document should not contain both duration and duration_ms.")
    for key, most in (("duration", _LONGEST_SECONDS), ("duration_ms", 1000 * _LONGEST_SECONDS)):
        if key in info:
            _check_duration(info[key], key, most)
    for key in _SINGLE_IDS:
        if info.get(key) and not _is_uuid(info[key]):
            _refuse(f"{key} MBID format invalid.")
    for key in _LISTED_IDS:
        listed = info.get(key) or []
        if not isinstance(listed, list) or not all(map(_is_uuid, filter(None, listed))):
            _refuse(f"{key} MBID format invalid.")


def _check_duration(given: Any, key: str, most: int) -> None:
    try:
        value = int(given)
    except (ValueError, TypeError, OverflowError):
        value = 0
    if value <= 0:
        _refuse(f"Value for {key} is invalid, should be a positive integer.")
    if value > most:
        _refuse(f"Value for {key} is too large, max permitted value is {most}")


def _is_uuid(value: object) -> bool:
    try:
        return bool(uuid.UUID(value))  # type: ignore[arg-type]
    except (AttributeError, ValueError, TypeError):
        return False


def _mbids(told: Mapping[str, Any], info: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the recording and of the track, as they are compared."""
    given = [info.get(key) for key in _IDS]
    mapped = told.get("mbid_mapping")  # as ListenBrainz exports its listens
    if isinstance(mapped, dict):
        given.append(mapped.get("recording_mbid"))
    found = (
        mbid_of(str(uuid.UUID(one))) for one in given if isinstance(one, str) and _is_uuid(one)
    )
    return tuple(dict.fromkeys(filter(None, found)))


def _path(info: Mapping[str, Any]) -> str:
    for key in _PATHS:
        value = info.get(key)
        if not isinstance(value, str) or not value.strip():
            continue
        if key != "origin_url" or value.lower().startswith("file:"):
            return value
    return ""


def _check_texts(value: Any, depth: int = 0) -> None:
    """Refuse texts that no database can store."""
    if depth > _DEEPEST:
        _refuse("JSON document is nested too deeply.")
    if isinstance(value, str):
        if "\0" in value:
            _refuse("JSON document contains a unicode null")
        if not is_unicode(value):
            _refuse("JSON document contains text that is not valid Unicode")
    elif isinstance(value, dict):
        for key, one in value.items():
            _check_texts(key, depth)
            _check_texts(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _check_texts(one, depth + 1)
