"""A report says what each source of a model costs and brings, where the model says it."""

from typing import ClassVar

from evaluation.comparison.comparison import compare
from evaluation.models.baselines import Popularity
from evaluation.report.facts import source_rows
from evaluation.report.write import write_report
from evaluation.splitting.warm import warm_split


class Fused(Popularity):
    """A model of two sources, one of which adds nothing."""

    source_facts: ClassVar = {
        "als": {
            "used": True,
            "why_not": "",
            "seconds": 1.25,
            "gain": {"warm": 0.0123, "warm_error": 0.002, "cold": None, "cold_error": None},
        },
        "fm": {"used": False, "why_not": "it <adds> nothing", "seconds": 0.0, "gain": None},
    }


def test_sources_stand_in_the_report(tastes, tmp_path, no_pictures):
    dataset, _ = tastes
    found = compare({"fused": Fused, "popularity": Popularity}, dataset, [warm_split(dataset)])
    rows = source_rows(found)
    assert [(row["model"], row["source"], row["part"]) for row in rows] == [
        ("fused", "als", "yes"),
        ("fused", "fm", "no: it <adds> nothing"),
    ]
    assert (rows[0]["fit"], rows[0]["warm"], rows[0]["cold"]) == (
        "1.2",
        "+0.0123\u00a0±\u00a00.0020",
        "–",
    )
    write_report(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What each source costs and brings" in page
    assert "no: it &lt;adds&gt; nothing" in page
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "+0.0123\u00a0±\u00a00.0020" in text


def test_a_report_without_sources_has_no_such_table(tastes, tmp_path, no_pictures):
    dataset, _ = tastes
    found = compare({"popularity": Popularity}, dataset, [warm_split(dataset)])
    assert source_rows(found) == []
    write_report(found, tmp_path / "report.html")
    assert "What each source costs" not in (tmp_path / "report.html").read_text(encoding="utf-8")
