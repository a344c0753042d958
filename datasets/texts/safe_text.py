"""Show text of unknown origin safely in terminals, JSON, spreadsheets, Markdown and addresses.

Titles, genres, column names and file names come from other people's files. Shown as they are, they
could move the cursor of a terminal, reverse the text around them, become a formula in a
spreadsheet, or HTML on a page.
"""

import csv
import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    import pandas as pd

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of characters that are not seen but act: on the cursor, on the direction of
text, on the end of the line."""

_HARMLESS = {"\u200c", "\u200d", "\u200e", "\u200f"}
"""Of these, what ordinary text in Arabic, Hebrew, Persian and Hindi and emoji are written with."""

_SIMPLE = re.compile(r"[\x20-\x7e\xa1-\xac\xae-\u02ff]*")
"""Text without any such character; most is, and is recognised fast."""


def printable(text: object) -> str:
    r"""Return text with control characters escaped, on one line.

    Escaped are the Unicode categories Cc (control), Cf (format; among them all that override the
    direction of text), Cs (surrogates), Zl and Zp (line ends), as Python would write them in a
    string. Joiners and direction marks of ordinary text stay.

    Args:
        text: the text, or an object whose ``str`` is shown.

    Examples:
        >>> printable("Song\x1b[2J\r\u202etxt")
        'Song\\x1b[2J\\r\\u202etxt'
    """
    shown = str(text)
    if _SIMPLE.fullmatch(shown):
        return shown
    return "".join(map(_escape, shown))


def printable_lines(text: object) -> str:
    r"""Return text as `printable` does, but with its line ends.

    Examples:
        >>> printable_lines("one\ntwo\x07")
        'one\ntwo\\x07'
    """
    return "\n".join(map(printable, str(text).split("\n")))


def printable_json(document: str) -> str:
    r"""Return a JSON document with the same characters escaped as ``\uXXXX`` within its strings.

    Args:
        document: JSON, indented or not.

    Examples:
        >>> import json
        >>> document = printable_json(json.dumps("dj\x9b\u202e", ensure_ascii=False))
        >>> document, json.loads(document)
        ('"dj\\u009b\\u202e"', 'dj\x9b\u202e')
    """
    # JSON escapes C0 control characters itself: a line end is one between values.
    return "\n".join(
        line if _SIMPLE.fullmatch(line) else "".join(map(_escape_json, line))
        for line in document.split("\n")
    )


def spreadsheet_cell(text: str) -> str:
    """Return a text for a CSV file such that a spreadsheet does not run it as a formula.

    A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return (or one of the
    first four in full width) gets an apostrophe in front, as OWASP recommends; plain numbers do
    not.

    Examples:
        >>> spreadsheet_cell('=HYPERLINK("http://example.org")'), spreadsheet_cell("-1.5")
        ('\\'=HYPERLINK("http://example.org")', '-1.5')
    """
    start = text.lstrip(" \n\u00a0\ufeff")[:1]
    if not start or start not in "=+-@\t\r＝＋－＠":
        return text
    return text if _NUMBER.fullmatch(text) else f"'{text}"


def spreadsheet_frame(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a frame whose texts and column names are safe in a spreadsheet.

    Columns that hold no text stay as they are.

    Examples:
        >>> spreadsheet_frame(pd.DataFrame({"title": ["=1+1"], "rank": [-1]})).values.tolist()
        [["'=1+1", -1]]
    """
    import numpy as np

    safe = frame.rename(columns=lambda name: spreadsheet_cell(str(name)))
    for number, (_, column) in enumerate(frame.items()):
        if column.dtype.kind in "OTU" or str(column.dtype) in ("str", "string", "category"):
            cells = np.empty(len(column), dtype=object)
            cells[:] = [spreadsheet_cell(c) if isinstance(c, str) else c for c in column]
            safe.isetitem(number, cells)
    return safe


def write_spreadsheet(
    frame: "pd.DataFrame", target: "Path | TextIO", *, header: bool = True
) -> None:
    """Write a frame as CSV that a spreadsheet program can open safely (`spreadsheet_cell`).

    Args:
        frame: the table; its index is left out.
        target: a file, or a stream opened with ``newline=""``.
        header: whether to write the column names.

    Examples:
        >>> import sys
        >>> write_spreadsheet(pd.DataFrame({"title": ["@a"], "rank": [1]}), sys.stdout)
        title,rank
        '@a,1
    """
    safe = spreadsheet_frame(frame)
    texts = (cell for _, column in safe.items() for cell in column if isinstance(cell, str))
    # The csv module quotes no lone carriage return; programs take one for a line end.
    returns = any("\r" in text for text in (*safe.columns, *texts))
    quoting: Any = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    safe.to_csv(target, index=False, header=header, quoting=quoting, lineterminator="\n")


def escape_markdown(text: str) -> str:
    r"""Escape a text, so that it adds no emphasis, link, HTML, table cell or line to Markdown.

    Examples:
        >>> escape_markdown("*R&B* <b>"), escape_markdown("&lt;")
        ('\\*R&B\\* &lt;b&gt;', '&amp;lt;')
    """
    text = _ENTITY.sub("&amp;", printable(text))
    for mark in "\\`*_[]#|":
        text = text.replace(mark, "\\" + mark)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def hide_password(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text with the passwords of addresses in it replaced by ``***``.

    Args:
        text: a message or an address (``scheme://user:password@host/...``).
        secrets: further strings to hide.

    Examples:
        >>> hide_password("postgresql://anna:secret@server/songs is down")
        'postgresql://anna:***@server/songs is down'
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _PASSWORD.sub(r"\1:***@", text)
    return _QUERY_PASSWORD.sub(r"\1***", text)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ENTITY = re.compile(r"&(?=#?\w+;)")
# The password of an address ends at its last "@"; badly written ones have "@", "/" or spaces in it.
_PASSWORD = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.\-]*://[^\s:/@]*):[^'\"\n]*@")
# Also sslpassword=, PGPASSWORD= and access_token=; a value with spaces is in quotes.
_QUERY_PASSWORD = re.compile(
    r"(?i)((?:^|(?<=[?&;\s'\"(]))[a-z_\-]*(?:password|passwd|pwd|passphrase|token|secret|api_?key)=)"
    r"(?:'[^'\n]*'|\"[^\"\n]*\"|[^&;\s'\"]*)"
)


def _escape(character: str) -> str:
    if character in _HARMLESS or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode("ascii")


def _escape_json(character: str) -> str:
    if character in _HARMLESS or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000  # a pair of surrogates, as JSON writes what lies above U+FFFF
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
