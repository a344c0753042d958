import pytest

from evaluation.comparison.comparison import compare
from evaluation.models.baselines import Popularity, PopularityOracle, Random
from evaluation.report.tables import ReportTables
from evaluation.report.write import write_report
from evaluation.splitting.cold import cold_folds, semi_cold_split
from evaluation.splitting.warm import warm_split
from tests.helpers.reports import Page


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_barely_known_items_are_judged_among_themselves(tastes, tmp_path):
    dataset, _ = tastes
    played = set(dataset.interactions["item_id"])
    split = semi_cold_split(dataset, 2, among=played)
    result = compare(
        {"popularity": Popularity, "random": Random}, dataset, [split], ks=(5,), n_bootstrap=200
    )
    tables = ReportTables(result, "songs")
    assert tables.leading_column().candidates == "thin"
    path, _ = write_report(result, tmp_path / "r.html")
    text = " ".join(" ".join(Page(path.read_text(encoding="utf-8")).text).split())
    assert "Barely known songs, among themselves: nDCG@5" in text
    assert "They keep a few interactions in training, and they alone are tested." in text
    assert "warm-cold" not in Page(path.read_text(encoding="utf-8")).ids


@pytest.mark.slow
def test_models_with_the_best_figure_are_all_best(tastes):
    dataset, _ = tastes
    played = set(dataset.interactions["item_id"])
    result = compare(
        {
            "random": Random,
            "oracle": lambda: PopularityOracle(dataset),
            "the same": lambda: PopularityOracle(dataset),
        },
        dataset,
        [warm_split(dataset), *cold_folds(dataset, 3, among=played)],
        ks=(5,),
        n_bootstrap=200,
    )
    table = ReportTables(result, "songs").warm_cold_table()
    cells = {row["model"]: row["cells"][0] for row in table["rows"]}
    assert [cells[model]["best"] for model in ("random", "oracle", "the same")] == [0, 1, 1]
    assert not cells["oracle"]["tied"]
    assert not cells["the same"]["tied"]
    places = [cells[model]["mean"][-3:] for model in ("random", "oracle", "the same")]
    assert places == ["(3)", "(1)", "(1)"]
