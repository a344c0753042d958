"""Example users as plain rows of text: what they played, what was held out, what they are told."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.comparison.examples import Example
from evaluation.report.tables import Tables


def examples(tables: Tables, users: Sequence[Example]) -> list[dict[str, Any]]:
    """An entry a user, with the lists of every model in the order of the other tables."""
    order = tables.models()
    found = []
    for number, user in enumerate(users, 1):
        rows: list[dict[str, Any]] = [
            {
                "model": model,
                "control": model in tables.comparison.controls,
                "hits": sum(bool(item["hit"]) for item in user.lists[model]),
                "items": [{**_described(item), "hit": bool(item["hit"])} for item in shown],
            }
            for model in order
            if (shown := user.lists.get(model)) is not None
        ]
        places = max((len(row["items"]) for row in rows), default=0)
        with_hits = sum(row["hits"] > 0 and not row["control"] for row in rows)
        contenders = sum(not row["control"] for row in rows)
        found.append(
            {
                "name": f"User {number}",
                "id": str(user.user_id),
                "split": user.split,
                "facts": f"{with_hits} of {contenders} models have a hit",
                "played": [_described(item) for item in user.played],
                "held_out": [_described(item) for item in user.held_out],
                "places": list(range(1, places + 1)),
                "rows": rows,
            }
        )
    return found


def _described(item: Mapping[str, Any]) -> dict[str, str]:
    """A name to read, and what else is known of the item."""
    title, artist = str(item.get("title") or ""), str(item.get("artist") or "")
    name = title or artist or str(item["item_id"])
    by = artist if artist and artist != name else ""
    return {"name": name, "by": by, "genre": str(item.get("genre") or "")}
