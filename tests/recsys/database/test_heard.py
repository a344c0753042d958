"""What a listener is told of predicted tags, of one value and of several at once."""

import pytest

from embedding.encoders.musicnn.encoder import MUSICNN_TAGS
from recsys.database import Catalog, Song, SongFilter, list_songs
from recsys.database.heard import best_genre, genres_among, named_values, say_sound
from recsys.onboarding.prediction import Prediction


@pytest.mark.parametrize(
    ("scores", "genre", "said"),
    [
        (None, (None, None), ""),
        ({}, (None, None), ""),
        ({"genre": {"jazz": 0.6, "ska": 0.4}}, ("jazz", 0.6), "jazz (60%)"),
        # Whatever the order of the tags, and with names of genres that nobody knows.
        (
            {"emotion": {"calm": 0.9, "wild": 0.1}, "Genre": {"chanson": 0.6, "rock": 0.4}},
            ("chanson", 0.6),
            "chanson (60%), mood calm (90%)",
        ),
        # A tag of which one value holds is taken whole, a mixed one is not.
        ({"label": {"chanson": 0.7, "rock": 0.3}}, ("chanson", 0.7), "chanson (70%)"),
        ({"label": {"80s": 0.7, "French-Pop": 0.2}}, ("French-Pop", 0.2), "French-Pop (20%)"),
        ({"emotion": {"calm": 0.9, "wild": 0.1}}, ("calm", 0.9), "calm (90%)"),
        ({"voice": {"female": 0.9, "none": 0.4}}, ("female", 0.9), "female (90%)"),
        (
            {"tags": {"80s": 0.6, "Mellow": 0.3, "rock": 0.3, "blues": 0.4, "pop": 0.1}},
            ("blues", 0.4),
            "blues (40%), rock (30%), mood Mellow (30%)",
        ),
        ({"tags": {"80s": 0.6, "jazz": 0.2, "sad": 0.09}}, ("jazz", 0.2), "jazz (20%)"),
        (
            {"genre": {"rock": 0.5, "punk": 0.45, "metal": 0.4, "ska": 0.35}},
            ("rock", 0.5),
            "rock (50%), punk (45%), metal (40%)",
        ),
    ],
)
def test_the_genre_comes_first(scores, genre, said) -> None:
    assert best_genre(scores) == genre
    assert say_sound(scores) == (f"it sounds like {said}" if said else "")


def test_musicnn_says_no_era_and_no_voice() -> None:
    """Its fifty tags, the likelier the less they are a genre."""
    no_genres = (
        "female vocalists", "beautiful", "00s", "chillout", "male vocalists", "Mellow", "80s",
        "90s", "chill", "instrumental", "oldies", "acoustic", "female vocalist", "guitar", "70s",
        "party", "sexy", "catchy", "60s", "sad", "happy",
    )  # fmt: skip
    assert set(no_genres) < set(MUSICNN_TAGS)
    for name in MUSICNN_TAGS:
        scores = {tag: 0.9 if tag in no_genres else 0.1 for tag in MUSICNN_TAGS}
        if name not in no_genres:
            assert best_genre({"tags": {**scores, name: 0.2}}) == (name, 0.2)


def test_a_prediction_names_them() -> None:
    scores = {"tags": {"80s": 0.6, "blues": 0.4, "happy": 0.2}}
    found = Prediction(*best_genre(scores), 0.413, scores)
    assert str(found) == "it sounds like blues (40%), mood happy (20%), familiarity 0.41"
    assert found.to_dict()["predicted"] == "blues"
    assert str(Prediction(None, None, None, {})) == "nothing known"


@pytest.mark.parametrize(
    ("scores", "shown"),
    [
        ({"tags": {"80s": 0.6, "jazz": 0.3, "rock": 0.4, "sad": 0.5}}, {"tags": ("rock", 0.4)}),
        ({"tags": {"80s": 0.6, "sad": 0.5}}, {"tags": ("80s", 0.6)}),
        # Values of which one alone holds stand for themselves.
        ({"tags": {"80s": 0.7, "jazz": 0.3}}, {"tags": ("80s", 0.7)}),
        # What is called genre or mood says what it is.
        (
            {"genre": {"sea shanty": 0.8, "rock": 0.4}, "tags": {"80s": 0.6, "jazz": 0.3}},
            {"genre": ("sea shanty", 0.8), "tags": ("80s", 0.6)},
        ),
        ({"mood": {"wild": 0.9, "soul": 0.3}}, {"mood": ("wild", 0.9)}),
    ],
)
def test_lists_of_songs_name_what_onboarding_does(scores, shown) -> None:
    catalog = Catalog.in_memory()
    other = {tag: dict.fromkeys(values, 0.01) for tag, values in scores.items()}
    catalog.fill([Song("heard", scores=scores), Song("other", scores=other), Song("unheard")])
    with catalog.transaction() as connection:
        row, _, nothing = list_songs(connection, SongFilter()).to_dict("records")
    for tag, (name, probability) in shown.items():
        assert (row[f"predicted_{tag}"], row[f"probability_{tag}"]) == (name, probability)
        assert nothing[f"predicted_{tag}"] is None
    first = next(iter(shown.values()))
    assert best_genre(scores) == first


def test_genres_among_the_tags_of_musicnn() -> None:
    (found,) = genres_among({"tags": MUSICNN_TAGS}).values()
    assert {"rock", "jazz", "Hip-Hop"} <= set(found)
    assert not {"80s", "female vocalists", "beautiful", "Mellow"} & set(found)


def test_of_several_genres_those_are_named_that_are_half_as_probable() -> None:
    tags = {"rock": 0.9, "pop": 0.6, "jazz": 0.4, "indie rock": 0.5, "blues": 0.46, "sad": 0.7,
            "80s": 0.55, "guitar": 0.2}  # fmt: skip
    found = {one.kind: one.values for one in named_values({"tags": tags}, 0.3)}
    assert found == {"genre": ["rock", "pop", "indie rock"], "mood": ["sad"], "other": ["80s"]}
    assert named_values({"tags": tags}, 0.95) == []
    assert named_values(None, 0.0) == []


def test_a_tag_of_one_value_names_one_and_keeps_its_own_name() -> None:
    scores = {"era": {"80s": 0.5, "90s": 0.5}, "mood": {"calm": 0.8, "wild": 0.2}}
    found = [(one.kind, one.tag, one.values) for one in named_values(scores, 0.5)]
    assert found == [("other", "era", ["80s"]), ("mood", "mood", ["calm"])]
