"""Recordings of items, in parts if asked for, and their hyper-images."""

import hashlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from datasets.errors import AudioError
from datasets.system.files import open_regular
from datasets.texts.safe_text import printable
from embedding.audio.source import RecordingFile
from embedding.parallel import Crashed
from recsys.model.live import LiveModel
from recsys.service.bodies.answers import NOT_FOUND, PROBLEMS, has_tag, known_item
from recsys.service.bodies.recordings import MEDIA_TYPES, find_recording, is_within
from recsys.service.bodies.schemas import PathId
from recsys.service.problems import Problem
from recsys.service.requests.access import reading_routes
from recsys.service.requests.context import ServiceContext, context_of

if TYPE_CHECKING:
    from embedding.hyperimage.front_end import HyperImageFrontEnd

MEDIA = reading_routes()

_BLOCK = 64 << 10
_RANGE = re.compile(r"bytes=[ \t]*(\d{0,1000})-(\d{0,1000})", re.IGNORECASE | re.ASCII)

_KEPT = 256
"""Pictures that are kept in memory."""


@MEDIA.get(
    "/items/{item_id}/audio",
    operation_id="getAudio",
    tags=["media"],
    response_class=Response,
    responses=PROBLEMS
    | NOT_FOUND
    | {
        200: {"content": {"audio/*": {}}, "description": "The recording."},
        206: {"content": {"audio/*": {}}, "description": "The part that `Range` asks for."},
        416: {"description": "There is no such part."},
    },
)
async def item_audio(request: Request, item_id: PathId) -> Response:
    """The recording of an item, if it lies in a folder that was named to be listened to."""
    context = context_of(request)

    def find(live: LiveModel) -> tuple[BinaryIO, Path]:
        known = known_item(live, item_id)
        path = find_recording(context, live, known)
        if path is None:
            detail = f"item {item_id!r} has no recording that may be listened to here"
            raise Problem(404, "no-recording", detail, item_id=item_id)
        return _open(path, context.settings.playable_folders, item_id), path

    stream, path = await context.ask(find)
    try:
        return _in_parts(request, stream, path)
    except BaseException:
        stream.close()
        raise


@MEDIA.get(
    "/items/{item_id}/hyperimage.png",
    operation_id="getHyperimage",
    tags=["media"],
    response_class=Response,
    responses=PROBLEMS | NOT_FOUND | {200: {"content": {"image/png": {}}}},
)
async def item_picture(request: Request, item_id: PathId) -> Response:
    """The hyper-image of an item: what its recording looks like to the model."""
    context = context_of(request)

    def find(live: LiveModel) -> tuple[Path, "HyperImageFrontEnd"]:
        known = known_item(live, item_id)
        path = find_recording(context, live, known, anywhere=True)
        if path is None:
            detail = f"item {item_id!r} has no recording that is there"
            raise Problem(404, "no-recording", detail, item_id=item_id)
        return path, _front_end(live)

    path, front_end = await context.ask(find)
    status = path.stat()
    key = f"{path} {status.st_size} {status.st_mtime_ns} {front_end.digest()}"
    tag = f'"{hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=3600", "Vary": "Authorization"}
    if has_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    kept = context.pictures.get(tag)
    if kept is None:
        kept = await context.drawing.run(lambda: _drawn(context, path, front_end, item_id))
        context.pictures[tag] = kept
        while len(context.pictures) > _KEPT:
            context.pictures.popitem(last=False)
    return Response(kept, headers=headers, media_type="image/png")


def _open(path: Path, folders: tuple[Path, ...], item_id: str) -> BinaryIO:
    """Open a recording, and look again where it is: a link may have come into its place."""
    gone = Problem(
        404, "no-recording", f"the recording of item {item_id!r} cannot be read", item_id=item_id
    )
    try:
        stream = open_regular(path)
    except (OSError, ValueError):
        raise gone from None
    opened = Path(f"/proc/self/fd/{stream.fileno()}")
    if opened.exists() and not is_within(opened, folders):
        stream.close()
        raise gone
    return stream


def _in_parts(request: Request, stream: BinaryIO, path: Path) -> Response:
    """The answer with a file, or the part of it that is asked for."""
    status = os.fstat(stream.fileno())
    size = status.st_size
    tag = f'"{size:x}-{status.st_mtime_ns:x}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600",
        "Vary": "Authorization",
    }
    if has_tag(request.headers.get("if-none-match", ""), tag):
        stream.close()
        return Response(status_code=304, headers=headers)
    start, end, code = 0, size, 200
    wanted = request.headers.get("range", "")
    if wanted and request.headers.get("if-range", tag) == tag:
        part = read_range(wanted, size)
        if part == "none":
            stream.close()
            headers["Content-Range"] = f"bytes */{size}"
            raise Problem(416, "no-such-part", f"the recording has {size:,} bytes", headers=headers)
        if part is not None:
            start, end = part
            code = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    kind = MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    if request.state.is_head:
        stream.close()
        return Response(status_code=code, headers=headers, media_type=kind)
    return StreamingResponse(
        _blocks(stream, start, end), status_code=code, headers=headers, media_type=kind
    )


def read_range(header: str, size: int) -> tuple[int, int] | Literal["none"] | None:
    """Read which part of a file a header asks for.

    Args:
        header: the header Range.
        size: bytes of the file.

    Returns:
        The first byte and the one after the last; "none" for a part that is not there; None for a
        header that is passed over, such as one of several parts.

    Examples:
        >>> [read_range(text, 10) for text in ("bytes=2-3", "bytes=8-", "bytes=-3", "bytes=10-")]
        [(2, 4), (8, 10), (7, 10), 'none']
        >>> read_range("bytes=0-1,4-5", 10) is None
        True
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        count = min(int(found[2]), size)
        return (size - count, size) if count else "none"
    start = int(found[1])
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return None
    return (start, end) if start < size else "none"


def _blocks(stream: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    with stream:
        stream.seek(start)
        left = end - start
        while left > 0 and (block := stream.read(min(_BLOCK, left))):
            left -= len(block)
            yield block


def _front_end(live: LiveModel) -> "HyperImageFrontEnd":
    """What hyper-images of a model are made by; the usual settings where it hears none."""
    from embedding.hyperimage.front_end import HyperImageFrontEnd

    encoder = live.state.encoder
    own = None if encoder is None else encoder.front_end
    return own if isinstance(own, HyperImageFrontEnd) else HyperImageFrontEnd()


def _drawn(
    context: ServiceContext, path: Path, front_end: "HyperImageFrontEnd", item_id: str
) -> bytes:
    job = (RecordingFile(path, printable(path.name)), front_end)
    drawn = context.worker.run(draw_hyperimage_png, job)
    if isinstance(drawn, Crashed):
        raise AudioError(f"{printable(path.name)}: cannot be decoded")
    if isinstance(drawn, str):
        raise Problem(422, "unusable-recording", drawn, item_id=item_id)
    return drawn


def draw_hyperimage_png(job: "tuple[RecordingFile, HyperImageFrontEnd]") -> bytes | str:
    """Return the first hyper-image of a recording as a PNG, or why there is none.

    Runs in a process that may crash: the recording is decoded.
    """
    import numpy as np
    from matplotlib.image import imsave

    from embedding.hyperimage.extraction import DecodingJob, decode_recording

    decoded = decode_recording(DecodingJob(*job))
    if isinstance(decoded, str):
        return decoded
    image = np.asarray(decoded.inputs)[0]
    picture = np.clip(np.nan_to_num(image), 0, 1)
    target = io.BytesIO()
    if len(picture) == 3:
        imsave(
            target, np.ascontiguousarray(picture.transpose(1, 2, 0)), format="png", origin="lower"
        )
    else:
        imsave(
            target, picture.mean(axis=0), format="png", origin="lower", cmap="magma", vmin=0, vmax=1
        )
    return target.getvalue()
