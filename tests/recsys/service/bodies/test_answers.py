"""Rows of a list are those of its table, made without it."""

import pytest

from recsys import Recommender
from recsys.ranking.options import ListOptions
from recsys.ranking.ranking import recommend_for_user, user_list
from recsys.service.bodies.answers import as_json, items_of, notes_of, rows_of


@pytest.mark.parametrize("user", ["u1", "nobody"])
@pytest.mark.parametrize("options", [{}, {"new": 2}, {"where": {"genre": "jaz"}}], ids=str)
def test_rows_are_those_of_the_table(model: Recommender, user: str, options: dict) -> None:
    chosen = ListOptions(k=5, **options)
    found = user_list(model.live, user, None, chosen)
    table = recommend_for_user(model.live, user, None, chosen)
    rows = rows_of(model.live, found)
    assert rows == items_of(table)
    assert [list(row) for row in rows] == [list(row) for row in items_of(table)]
    assert as_json(rows) == as_json(items_of(table))
    assert notes_of(found.attrs) == notes_of(table.attrs)
