"""Spellings of one text: Unicode forms, case, width and spaces."""

import unicodedata
from collections.abc import Iterable


def composed(text: str) -> str:
    """Return a text in Unicode's composed form (NFC), in which ids and file names are compared.

    An "é" may be one character or an "e" and an accent (as macOS writes file names). Both look the
    same; the composed form is the former. Undecodable bytes of file names (lone surrogates) stay.

    Examples:
        >>> composed("Beyonce" + chr(0x301)) == "Beyonc" + chr(0xE9)
        True
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def caseless(text: str) -> str:
    """Return a text without case and in one Unicode form, wide letters as narrow ones (NFKC).

    Examples:
        >>> caseless("STRASSE") == caseless("Straße")
        True
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def folded(text: str) -> str:
    r"""Return what spellings of one label have in common: caseless, with single inner spaces.

    Examples:
        >>> folded(" Hip  Hop ") == folded("hip\xa0hop")
        True
    """
    return " ".join(caseless(text).split())


def by_composed(texts: Iterable[str]) -> dict[str, list[str]]:
    """Group distinct texts by their composed form, in the order given.

    Examples:
        >>> {key: len(group) for key, group in by_composed(["e" + chr(0x301), chr(0xE9)]).items()}
        {'é': 2}
    """
    groups: dict[str, list[str]] = {}
    for text in dict.fromkeys(texts):
        groups.setdefault(composed(text), []).append(text)
    return groups
