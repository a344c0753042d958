"""Configuration: what cannot work is refused on the spot, by name."""

import os

import pytest

from datasets.errors import InvalidArgumentError
from recsys import Recommender, RecommenderConfig
from recsys.config import SOURCES


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"threads": 0}, "threads"),
        ({"sources": ()}, "sources"),
        ({"sources": ("als", "als")}, "named twice"),
        ({"sources": ("als", "knn")}, r"sources\.1"),
        ({"als": {"factors": 0}}, "als.*factors"),
        ({"als": {"weighting": "squared"}}, "als.*weighting"),
        ({"fm": {"learning_rate": 1.0}}, "fm.*learning_rate"),
        ({"content_map": {"strengths": ()}}, "content_map.*strengths"),
        ({"content_map": {"strengths": (1.0, 0.0)}}, "every strength must be positive"),
        ({"content_map": {"folds": 1}}, "content_map.*folds"),
        ({"fusion": {"validation_fraction": 0.6}}, "fusion.*validation_fraction"),
        ({"fusion": {"cold": {"als": 1, "fm": 1}}}, r"fusion\.cold weighs \['als', 'fm'\]"),
        ({"sources": ("als",), "fusion": {"warm": {"fm": 1}}}, r"the sources are \['als'\]"),
        ({"fusion": {"warm": {}}}, "fusion.*warm.* a weight must be positive"),
        (
            {"sources": ("als",), "fusion": {"warm": {"als": 1e300}}},
            "als must lie between .* 1e\\+300",
        ),
        ({"sources": ("als",), "fusion": {"cold": {"als": 1e-9}}}, "als must lie between .* 1e-09"),
        (
            {"sources": ("popularity",), "fusion": {"warm": {"popularity": -1e7}}},
            "popularity must lie between 1e-06 and 1e\\+06, not -1e\\+07",
        ),
        ({"encoder": {"seed": 2**64}}, r"encoder\.seed"),
        ({"retrieval": {"method": "faiss"}}, "retrieval.*method"),
        ({"speed": "high"}, "speed"),
    ],
)
def test_refused(values, message):
    with pytest.raises(InvalidArgumentError, match=f"^RecommenderConfig: .*{message}") as raised:
        RecommenderConfig(**values)
    assert "\n" not in str(raised.value)


def test_a_fit_looks_at_the_settings_again(tastes):
    weights = {"warm": {"als": 1.0, "content": 1.0}}
    config = RecommenderConfig(tracking=False, sources=("als", "content"), fusion=weights)
    config.fusion.warm["als"] = float("nan")
    with pytest.raises(InvalidArgumentError, match=r"fusion\.warm\.als"):
        Recommender(config).fit(tastes[0], embeddings=tastes[1])


def test_defaults_and_changes():
    config = RecommenderConfig()
    assert config.sources == SOURCES
    assert config.n_threads == len(os.sched_getaffinity(0))
    changed = config.replace(seed=3, threads=1, als={"factors": 5})
    assert (changed.seed, changed.n_threads, changed.als.factors) == (3, 1, 5)
    assert changed.als.iterations == config.als.iterations
    assert config.seed == 0


def test_written_and_read_again():
    weights = {"als": 1.0, "fm": 2.0, "content": 0.5}
    config = RecommenderConfig(
        seed=5, sources=tuple(weights), fusion={"warm": weights}, als={"weighting": "log"}
    )
    again = RecommenderConfig.from_json(config.model_dump(mode="json"))
    assert again == config
    assert again.digest() == config.digest()
    assert again.digest() != RecommenderConfig().digest()
