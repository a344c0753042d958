"""Spellings that look the same or mean the same are brought together, others are kept apart."""

import unicodedata

import pytest

from datasets.texts.unicode_forms import by_composed, caseless, composed, folded

COMPOSED = "Beyonc\u00e9"
DECOMPOSED = "Beyonce\u0301"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DECOMPOSED, COMPOSED),
        (COMPOSED, COMPOSED),
        ("\u1100\u1161", "\uac00"),  # Hangul typed letter by letter
        ("A\u030a", "\u00c5"),
        ("\u212b", "\u00c5"),  # the sign for angstrom is the letter
        ("\uff32\uff2f\uff23\uff2b", "\uff32\uff2f\uff23\uff2b"),  # wide letters look different
        ("Rock", "Rock"),
        ("caf\udce9", "caf\udce9"),  # an undecodable byte of a file name
        ("", ""),
    ],
)
def test_composed_form(text: str, expected: str) -> None:
    assert composed(text) == expected
    assert composed(composed(text)) == composed(text)


@pytest.mark.parametrize(
    "spelling",
    [
        "Rock",
        "rock",
        " ROCK ",
        "\uff32\uff2f\uff23\uff2b",
        "roc\u212a",
        "\trock\n",
    ],
)
def test_spellings_of_one_label_fold_to_one(spelling: str) -> None:
    assert folded(spelling) == "rock"


@pytest.mark.parametrize(("one", "other"), [("R&B", "RnB"), ("hip hop", "hiphop"), ("a", "\u00e4")])
def test_other_labels_stay_apart(one: str, other: str) -> None:
    assert folded(one) != folded(other)


def test_case_of_every_letter_and_form_is_ignored() -> None:
    for text in (
        "Stra\u00dfe",
        "\u0130stanbul",
        "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
        COMPOSED,
    ):
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            other = unicodedata.normalize(form, text)
            assert folded(other) == folded(text)
            assert caseless(other) == caseless(text)
    assert folded("hip\u00a0 hop") == folded("Hip Hop")


def test_texts_are_grouped_in_the_order_given() -> None:
    assert by_composed([DECOMPOSED, "a", COMPOSED, "a"]) == {
        COMPOSED: [DECOMPOSED, COMPOSED],
        "a": ["a"],
    }
