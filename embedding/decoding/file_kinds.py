"""What a file is that is no recording, by its first bytes, for messages.

A shop's error page saved as ``song.mp3``, a picture, an archive, an unfinished download: the
message says that rather than "damaged".
"""

from pathlib import Path
from typing import Final

from datasets.system.files import open_regular

_HEAD_BYTES: Final = 4096

_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x89PNG", "a picture (PNG)"),
    (0, b"\xff\xd8\xff", "a picture (JPEG)"),
    (0, b"GIF8", "a picture (GIF)"),
    (8, b"WEBP", "a picture (WebP)"),
    (0, b"BM", "a picture (BMP)"),
    (0, b"II*\0", "a picture (TIFF)"),
    (0, b"MM\0*", "a picture (TIFF)"),
    (0, b"%PDF", "a document (PDF)"),
    (0, b"{\\rtf", "a document (RTF)"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "a zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"MZ", "a program (EXE)"),
    (0, b"SQLite format 3\0", "a database (SQLite)"),
    (0, b"\xd0\xcf\x11\xe0", "an office document"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
    (
        0,
        b"\x00\x05\x16\x07",
        "a file of attributes that macOS puts beside a recording (AppleDouble)",
    ),
    (0, b"bplist00", "a property list of macOS"),
    (0, b"#EXTM3U", "a playlist (m3u)"),
    (0, b"[playlist]", "a playlist (pls)"),
    (0, b"ffconcat", "a script that names other files (ffconcat)"),
    (0, b"d8:announce", "a torrent, which holds the address of a recording at most"),
    (0, b"version https://git-lfs", "a pointer to a file that Git LFS has not fetched"),
    (0, b"\x80\x02", "a pickle"),
    (0, b"\x93NUMPY", "an array of NumPy"),
)

_TEXT_CONTROLS: Final = frozenset(b"\t\n\r\f\x1b")


def describe_other_file(path: Path) -> str | None:
    """Return what a file is, with an article, if it is known not to be a recording.

    Args:
        path: a regular file that could not be decoded.

    Examples:
        >>> from embedding.decoding.file_kinds import describe_other_file
        >>> _ = (folder / "song.mp3").write_bytes(b"<!DOCTYPE html><title>404 Not Found</title>")
        >>> describe_other_file(folder / "song.mp3")
        'a web page (HTML)'
    """
    with open_regular(path) as stream:
        head = stream.read(_HEAD_BYTES)
        is_zero = not head.strip(b"\0") and not any(
            chunk.strip(b"\0") for chunk in iter(lambda: stream.read(1 << 20), b"")
        )
    if is_zero:
        return "nothing but zeros, as an unfinished download is"
    found = next((name for at, magic, name in _MAGIC if head[at : at + len(magic)] == magic), None)
    return found or _kind_of_text(head)


def _kind_of_text(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", errors="replace")
        return "a text file" if (text and text[:200].isprintable()) or "\n" in text[:200] else None
    if any(byte < 32 and byte not in _TEXT_CONTROLS for byte in head):
        return None
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not merely cut within a character
            return None
        text = head[: error.start].decode()
    start = text.lstrip("\ufeff \t\r\n")[:200].lower()
    if start.startswith(("<!doctype html", "<html")) or "<head" in start or "<body" in start:
        return "a web page (HTML)"
    if start.startswith("<"):
        return "an XML document, perhaps a server's error message"
    if start.startswith(("{", "[{")):
        return "a JSON document, perhaps a server's error message"
    return "a text file"
