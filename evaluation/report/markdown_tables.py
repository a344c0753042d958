"""Tables in Markdown."""

import re
from collections.abc import Sequence


def table(names: Sequence[str], rows: Sequence[Sequence[str]], *, text: int) -> list[str]:
    """Lines of a table whose first ``text`` columns stand left, the others right."""
    rule = [":--" if place < text else "--:" for place in range(len(names))]
    return [_line(names), _line(rule), *map(_line, rows)]


def escaped(text: str) -> str:
    """A name as it is, wherever it stands: no emphasis, link or HTML of its own."""
    for mark in "\\`*_[]<>#|":
        text = text.replace(mark, "\\" + mark)
    return text


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """A text within a table: no line ends, and no bar that is not escaped."""
    return re.sub(r"(?<!\\)\|", r"\\|", text.replace("\n", " "))
