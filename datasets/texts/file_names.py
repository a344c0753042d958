"""File names as text, and back: bytes that are not UTF-8 are escaped.

On Linux a file name is any bytes. Python reads bytes that are not UTF-8 as lone surrogates, which
no table, database or terminal takes.
"""

import re

_ESCAPED = re.compile(rb"\\x(5c|[89a-f][0-9a-f])")


def name_as_text(name: str) -> str:
    r"""Return a file name as valid text, from which `name_from_text` makes the same name again.

    A name that is valid text stays as it is. In others, each byte that is not UTF-8 is written as
    ``\xe9``, and so is a backslash (``\x5c``), so that no two names become the same text.

    Args:
        name: a name or path as the functions of `os` return it.

    Examples:
        >>> name_as_text("caf\udce9.mp3")
        'caf\\xe9.mp3'
        >>> name_as_text("café.mp3")
        'café.mp3'
    """
    raw = name.encode("utf-8", "surrogateescape")
    try:
        raw.decode()
    except UnicodeDecodeError:
        pass
    else:
        if not _ESCAPED.search(raw):
            return name
    return raw.replace(b"\\", b"\\x5c").decode("utf-8", "backslashreplace")


def name_from_text(text: str) -> str:
    r"""Return the file name that `name_as_text` made a text of.

    Examples:
        >>> name_from_text("caf\\xe9.mp3") == "caf\udce9.mp3"
        True
    """
    raw = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text.encode())
    return raw.decode("utf-8", "surrogateescape")
