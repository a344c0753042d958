from evaluation.comparison.bootstrap import Interval
from evaluation.report.plots import Point, pareto_front, scatter_plot


def point(model, x, y, control=False):
    return Point(model, control, Interval(x, x, x)), Interval(y, y, y)


POINTS = [
    point("right", 1, 9), point("between", 3, 6), point("beaten", 2, 5), point("far", 7, 2),
    point("mute", 9, 0), point("control", 8, 8, control=True),
]  # fmt: skip


def test_a_compromise_is_what_no_other_model_beats_in_both():
    assert pareto_front(POINTS) == ["right", "between", "far"]
    # Where less is better, the rightmost is beaten by whatever is as good.
    assert pareto_front(POINTS, lower=True) == ["right"]
    assert pareto_front([*POINTS, point("less", 0.5, 1)], lower=True) == ["less", "right"]
    assert pareto_front([point("a", 1, 1), point("b", 1, 1)]) == ["a", "b"]


def test_best_compromises_are_joined_by_a_line_and_bold():
    data = scatter_plot(POINTS, "x", "y", front=["right", "between", "far"], size="half")["data"]
    assert [data[0]["x"], data[0]["y"]] == [[1, 3, 7], [9, 6, 2]]
    assert data[1]["textfont"]["weight"] == [700, 700, 400, 700, 400]
    assert "text" in data[1]["mode"]
    assert "text" not in data[2]["mode"]
