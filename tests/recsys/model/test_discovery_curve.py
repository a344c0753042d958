"""What new songs cost: scales read off the measured points."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from recsys.model.discovery_curve import DiscoveryCurve

FOUND = {0.5: 0.196, 1.0: 0.200, 2.0: 0.190, 4.0: 0.192, 8.0: 0.100, 16.0: 0.100}
"""nDCG by scale: costs .02, 0, .05, .04, .5; the last scale changes nothing any more."""


def test_scales_by_hand():
    curve = DiscoveryCurve.from_ndcg(FOUND, budget=0.025)
    # Half of .05 is paid half way from 1 to 2.
    assert curve.fitted == pytest.approx(1.5)
    assert curve.scale(0.025) == pytest.approx(1)
    assert curve.scale(0) == pytest.approx(1 / 1.5)
    # At .04 the scale 4 is within the budget again, though 2 was measured to cost .05.
    assert curve.scale(0.0400001) == pytest.approx(4 / 1.5, rel=1e-4)
    assert curve.scale(0.27) == pytest.approx(6 / 1.5)  # half way from .04 to .5
    assert curve.scale(0.5) == curve.scale(1) == pytest.approx(8 / 1.5)
    assert len(curve.scales) == 5


def test_a_given_scale_is_the_unit():
    curve = DiscoveryCurve.from_ndcg(FOUND, budget=0.0, fitted=2.0)
    assert curve.scale(0) == pytest.approx(0.5)
    assert (curve.fitted, curve.scale(1)) == (2.0, pytest.approx(4))


def test_lists_without_any_hit_cost_nothing():
    assert DiscoveryCurve.from_ndcg({1.0: 0.0, 2.0: 0.0}, budget=0.01).fitted == 2


@given(
    st.dictionaries(
        st.floats(0.1, 20).map(lambda scale: round(scale, 2)), st.floats(0, 1), min_size=1
    ),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=2),
)
def test_a_larger_budget_never_gives_a_smaller_scale(found, budget, budgets):
    curve = DiscoveryCurve.from_ndcg(found, budget)
    scales = [curve.scale(one) for one in sorted([0.0, *budgets, 1.0])]
    assert all(low <= high for low, high in pairwise(scales))
    assert curve.scales[0] <= scales[0]
    assert scales[-1] == curve.scales[-1]
    assert curve.scale(budget) == pytest.approx(1)
    assert DiscoveryCurve.from_json(json.loads(json.dumps(curve.to_json()))) == curve


@pytest.mark.parametrize("budget", [-0.1, 1.1, True, None, "0.1", float("nan")])
def test_a_budget_is_a_share(budget):
    with pytest.raises(InvalidArgumentError, match="discovery must be a number from 0 to 1"):
        DiscoveryCurve((1.0,), (0.0,), 0.01).scale(budget)


@pytest.mark.parametrize(
    "change",
    [
        {"scales": []},
        {"scales": [2.0, 1.0]},
        {"scales": [0.0, 1.0]},
        {"scales": [1.0, float("inf")]},
        {"costs": [0.0]},
        {"costs": [0.0, 2.0]},
        {"costs": [0.0, float("nan")]},
        {"budget": "many"},
        {"budget": -1},
        {"fitted": 0},
        {"fitted": None},
    ],
)
def test_what_is_no_curve(change):
    values = DiscoveryCurve((1.0, 2.0), (0.0, 0.5), 0.01).to_json()
    with pytest.raises((TypeError, ValueError)):
        DiscoveryCurve.from_json(values | change)
