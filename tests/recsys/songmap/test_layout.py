"""The map of the songs: who is on it, and how they are grouped."""

import numpy as np
import pytest

from datasets.errors import InvalidArgumentError
from recsys import Recommender
from recsys.songmap.layout import NAMED, _groups, song_map
from tests.helpers.recommenders import CONFIG


@pytest.mark.slow
def test_every_song_with_an_embedding_is_on_the_map_once(fit_quickly):
    recommender = fit_quickly()
    recommender.onboard(embedding=np.eye(8)[0], item_id="new", genre="polka", tags={})
    recommender.onboard(embedding=np.eye(8)[0], item_id="new", genre="polka")
    recommender.onboard(embedding=np.eye(8)[0], item_id="cold-80", title="replaced")
    drawn = song_map(recommender._model)
    assert len(drawn.songs) == 91
    assert drawn.songs["item_id"].is_unique
    assert drawn.songs.set_index("item_id").loc["cold-80", "title"] == "replaced"
    assert [group.name for group in drawn.groups] == ["jazz", "polka", "pop", "rock", "unknown"]
    rows = np.concatenate([group.rows for group in drawn.groups])
    assert sorted(rows) == list(range(91))
    for group in drawn.groups[:-1]:
        assert set(drawn.songs["genre"].iloc[group.rows]) == {group.name}
    assert drawn.projection.points.shape == (91, 3)
    assert drawn.axes[0].startswith("PC1 (")
    assert f"{drawn.projection.explained.sum():.1%} of the variance" in drawn.facts


@pytest.mark.parametrize("embeddings", ["sound", "fused"])
def test_songs_of_a_taste_lie_together(fitted, embeddings):
    drawn = song_map(fitted._model, embeddings=embeddings)
    centres = [drawn.projection.points[group.rows].mean(axis=0) for group in drawn.groups]
    for number, group in enumerate(drawn.groups):
        distances = [
            np.linalg.norm(drawn.projection.points[group.rows] - centre, axis=1)
            for centre in centres
        ]
        assert (np.argmin(distances, axis=0) == number).mean() > 0.9


def test_the_rare_and_the_unknown_are_grey_and_last():
    labels = [f"name {n:02d}" for n in range(NAMED + 2)] + [f"name {n:02d}" for n in range(3, 18)]
    groups = _groups(np.array([*labels, ""], object))
    # Names 0 to 2 occur once, the rest twice: there is room for 16, so the first of the rare stays.
    assert [group.name for group in groups[:-2]] == [
        "name 00",
        *(f"name {n:02d}" for n in range(3, 18)),
    ]
    assert [(group.name, len(group.rows)) for group in groups[-2:]] == [
        ("2 others", 2),
        ("unknown", 1),
    ]
    looks = {(group.colour, group.shape) for group in groups[:-2]}
    assert len(looks) == NAMED
    assert groups[-1].colour not in {group.colour for group in groups[:-2]}


def test_of_many_songs_a_sample_is_drawn(fitted):
    one, same = (song_map(fitted._model, limit=20, seed=1) for _ in range(2))
    assert one.songs["item_id"].tolist() == same.songs["item_id"].tolist()
    assert len(one.songs) == 20
    assert "a random sample of 90 songs" in one.facts
    other = song_map(fitted._model, limit=20, seed=2)
    assert one.songs["item_id"].tolist() != other.songs["item_id"].tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "mood"}, "no column 'mood'; there are: item_id, title, artist, album, genre"),
        ({"embeddings": "taste"}, "must be sound or fused, not 'taste'"),
        ({"method": "mds"}, "method must be one of pca, umap, tsne"),
        ({"limit": 3}, "limit must be at least 4"),
    ],
)
def test_what_cannot_be_drawn(fitted, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        song_map(fitted._model, **arguments)


@pytest.mark.slow
def test_a_model_without_sound_has_no_map(tastes):
    recommender = Recommender(CONFIG.replace(sources=("als", "fm"))).fit(tastes[0])
    with pytest.raises(InvalidArgumentError, match="0 songs have sound embeddings"):
        song_map(recommender._model)
    assert len(song_map(recommender._model, embeddings="fused").songs) == 90  # by metadata too
