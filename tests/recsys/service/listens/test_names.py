"""Spellings of artists and titles that are one song, and those that are not."""

import pytest

from recsys.service.listens.names import loose_name, track_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Ana", "Blue"), ("ANA", " blue ")),
        (("Beyonce\u0301", "Halo"), ("beyoncé", "HALO")),
        (("Guns N’ Roses", "Don’t Cry"), ("Guns N' Roses", "Don't Cry")),
        (("Jay–Z", "99 Problems"), ("JAY-Z", "99  Problems")),
        (("ﬁrst", "ＡＢＣ"), ("first", "abc")),
        (("STRASSE", "x"), ("Straße", "x")),
    ],
)
def test_one_name_in_two_spellings(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert track_key(*one) == track_key(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Björk", "Jóga"), ("Bjork", "Joga")),
        (("The Beatles", "Help!"), ("Beatles", "Help")),
        (("Beatles, The", "Help"), ("The Beatles", "Help")),
        (("Simon & Garfunkel", "America"), ("Simon and Garfunkel", "America")),
        (("Ana; Bo", "Blue"), ("Ana • Bo", "Blue")),
        (("Ana", "Blue (feat. Bo)"), ("Ana", "Blue")),
        (("Ana feat. Bo", "Blue"), ("Ana", "Blue [ft. Bo]")),
        (("Ana featuring Bo & Cy", "Blue"), ("Ana", "Blue (feat. Cy and Bo)")),
        (("Ana ft Bo", "Blue"), ("Ana", "Blue")),
        (("Ana", "Blue feat. Bo (Live)"), ("Ana", "Blue (Live)")),
    ],
)
def test_what_players_and_tags_disagree_in(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert loose_name(*one).may_be(loose_name(*other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Ana", "Blue"), ("Ana", "Blue (Live)")),
        (("Ana", "Blue"), ("Ana", "Blue - 2011 Remix")),
        (("Ana", "Blue (feat. Bo)"), ("Ana", "Blue (feat. Cy)")),
        (("Ana", "A Feat of Strength"), ("Ana", "A")),
        (("Ana", "Sixty ft under"), ("Ana", "Sixty")),
        (("!!!", "Heart"), ("???", "Heart")),
        (("Malcolm X", "Blue"), ("Malcolm", "Blue")),
        (("The The", "Blue"), ("", "Blue")),
        (("Ana", "Part 1"), ("Ana", "Part 2")),
    ],
)
def test_what_is_another_song(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert track_key(*one) != track_key(*other)
    assert not loose_name(*one).may_be(loose_name(*other))
