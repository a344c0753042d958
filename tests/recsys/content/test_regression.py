"""Composing for a listener's taste needs content maps with a gradient that is known."""

import pytest

from datasets.errors import InvalidArgumentError
from recsys.commands.audio.composition_goals import taste_goal


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kernel", "low-rank", "cosine"])
def test_affine_and_kernel_maps_give_a_goal(fit_quickly, kind):
    recommender = fit_quickly(content_map={"kind": kind})
    goal = taste_goal(recommender._fitted(), "user-0")
    assert goal.catalogue.std() > 0


@pytest.mark.slow
def test_a_network_does_not(fit_quickly):
    recommender = fit_quickly(content_map={"kind": "mlp"})
    with pytest.raises(InvalidArgumentError, match=r"source 'als' .*network.*content_map\.kind"):
        taste_goal(recommender._fitted(), "user-0")
