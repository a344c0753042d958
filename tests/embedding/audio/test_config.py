"""Settings of snippets."""

import pytest

from datasets.errors import InvalidArgumentError
from embedding.audio.config import SnippetConfig


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"position": "at"}, "at"),
        ({"at": 3.0}, "at"),
        ({"position": "at", "at": -1.0}, "at"),
        ({"position": "at", "at": float("nan")}, "at"),
        ({"position": "at", "at": 1.0, "count": 2}, "count"),
        ({"position": "whole", "count": 2}, "count"),
        ({"position": "whole", "hop": 0.0}, "hop"),
        ({"hop": 1.0}, "hop"),
        ({"seed": 1}, "seed"),
        ({"position": "random", "seed": -1}, "seed"),
        ({"seconds": 0.01}, "seconds"),
        ({"seconds": float("inf")}, "seconds"),
    ],
)
def test_settings_that_do_not_belong_together_are_named(settings: dict, field: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"SnippetConfig: .*\b{field}\b"):
        SnippetConfig(**settings)


def test_every_setting_counts_in_the_digest() -> None:
    settings = [
        SnippetConfig(),
        SnippetConfig(seconds=4),
        SnippetConfig(count=2),
        SnippetConfig(position="random"),
        SnippetConfig(position="random", seed=1),
        SnippetConfig(position="at", at=1),
        SnippetConfig(position="at", at=2),
        SnippetConfig(position="whole"),
        SnippetConfig(position="whole", hop=1),
    ]
    assert len({snippet.digest() for snippet in settings}) == len(settings)
    for snippet in settings:
        assert SnippetConfig.from_json(snippet.model_dump(mode="json")) == snippet
