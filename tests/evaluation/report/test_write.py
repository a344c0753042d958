import html
import json
import re

import numpy as np
import pandas as pd
import pytest

from datasets.errors import InvalidArgumentError
from evaluation.comparison.comparison import compare
from evaluation.conclusions.wording import format_number
from evaluation.genre.cross_validation import genre_cross_validation
from evaluation.models.baselines import Popularity, PopularityOracle, Random
from evaluation.report.write import write_report
from evaluation.splitting.cold import cold_split
from evaluation.splitting.warm import warm_split
from tests.helpers.programs import needs
from tests.helpers.reports import Page, in_browser


@pytest.fixture(scope="module")
def comparison(tastes):
    dataset, _ = tastes
    played = set(dataset.interactions["item_id"])
    return compare(
        {
            "popularity": Popularity,
            "</script><b>random": Random,
            "popularity oracle": lambda: PopularityOracle(dataset),
        },
        dataset,
        [warm_split(dataset), cold_split(dataset, 0.4, among=played)],
        ks=(5, 10),
        controls={"popularity oracle": ""},
    )


@pytest.fixture(scope="module")
def genre():
    labels = np.array(["jazz", "folk/country", "rap & more"])[np.arange(30) % 3]

    class Guess:
        def fit(self, images, labels, groups=None):
            self.classes_ = sorted(set(labels))

        def predict_proba(self, images):
            return np.tile([0.5, 0.3, 0.2], (len(images), 1))

    images = np.zeros((30, 1, 1, 1), dtype=np.float32)
    return genre_cross_validation(images, labels, np.arange(30) // 3, Guess)


@pytest.fixture(scope="module")
def written(comparison, genre, tmp_path_factory):
    return write_report(
        comparison,
        tmp_path_factory.mktemp("report") / "a report.html",
        genre=genre,
        title="Tastes & <tests>",
        notes=["The listeners are simulated."],
        command="coldtune evaluate tastes --out 'a report.html'",
        configuration={"recommender": {"seed": 3}},
    )


@pytest.fixture(scope="module")
def page(written):
    return Page(written[0].read_text(encoding="utf-8"))


@pytest.mark.slow
def test_one_file_that_fetches_nothing(written, page):
    assert [address for address in page.addresses if not address[1].startswith("#")] == [
        ("link", "data:,")
    ]
    text = written[0].read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    # plotly.js in its part for lines and points, once, and not all its 4.8 MB
    assert text.count("plotly.js (basic - minified) v") == 1
    assert written[0].stat().st_size < 1_700_000
    assert sorted(path.name for path in written[0].parent.iterdir()) == [
        "a report-pictures",
        "a report.html",
        "a report.json",
        "a report.md",
    ]


@pytest.mark.slow
def test_the_page_says_what_the_figures_say(page, comparison):
    text = " ".join(" ".join(page.text).split())
    for expected in (
        "Tastes & <tests>",
        "The listeners are simulated.",
        "On songs nobody has played, ",
        "On songs people play, no model is shown to beat popularity (nDCG@5 0.",
        "coldtune evaluate tastes --out 'a report.html'",
        '"seed": 3',
        comparison.dataset["digest"][:16],
        "1 / rank of the first hit",
        "no difference shown",
    ):
        assert expected in text
    figures = comparison.figures()
    # Above it, in the section on new songs in whole lists, a row has one cell more.
    main = next(row for row in page.rows if row and row[0] == "popularity" and len(row) == 8)
    values = [
        figures["cold", "cold", "popularity", "ndcg", 5],
        figures["cold", "cold", "popularity", "recall", 5],
        figures["cold", "cold", "popularity", "item_auc", None],
        figures["cold", "catalogue", "popularity", "ndcg", 5],
        figures["cold", "catalogue", "popularity", "recall", 5],
        figures["warm", "played", "popularity", "ndcg", 5],
        figures["warm", "catalogue", "popularity", "ndcg", 5],
    ]
    for cell, value in zip(main[1:], values, strict=True):
        assert cell.replace("†", "") == (
            f"{format_number(value.mean)}{format_number(value.low)}–{format_number(value.high)}"
        )


def test_the_best_is_bold_and_never_a_control(written, comparison):
    text = written[0].read_text(encoding="utf-8")
    body = text[text.index('id="results"') : text.index('id="glance"')]
    rows = re.findall(r"<tr(.*?)</tr>", body, flags=re.S)
    warm_ndcg = comparison.table.query(
        "split == 'warm' and metric == 'ndcg' and k == 5 and not control"
    )
    best = warm_ndcg.loc[warm_ndcg["mean"].idxmax(), "model"]
    bold = [row for row in rows if ' best"' in row]
    assert bold
    for row in bold:
        assert "popularity oracle" not in row
    row = next(row for row in rows if f'"name">{html.escape(best)}<' in row)
    assert "best" in re.findall(r'<td class="(.*?)"', row)[5]


def test_names_are_escaped(written):
    text = written[0].read_text(encoding="utf-8")
    assert "</script><b>random" not in text
    assert "&lt;/script&gt;&lt;b&gt;random" in text
    plots = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.S)
    figures = json.loads(plots[1])
    names = {name for figure in figures.values() for trace in figure["data"] for name in trace["y"]}
    assert "&lt;/script&gt;&lt;b&gt;random" in names  # Plotly understands some HTML


def test_genre_section(page, genre):
    text = " ".join(page.text)
    assert "rap & more" in text
    assert next(row for row in page.rows if row[:1] == ["Mean"])[2:] == [
        f"{genre.mean['loss']:.3f}",
        f"{genre.mean['precision@1']:.1%}",
        f"{genre.mean['precision@3']:.1%}",
    ]
    # Everything is taken for the first label.
    assert ["jazz", "10", "", ""] in page.rows or ["jazz", "", "10", ""] in page.rows


def test_json_is_the_same(written, comparison, genre):
    facts = json.loads(written[1].read_text(encoding="utf-8"))
    assert facts["summary"][0].startswith("On songs nobody has played")
    assert facts["notes"] == ["The listeners are simulated."]
    assert facts["genre"]["mean"] == genre.mean
    assert facts["configuration"]["recommender"] == {"seed": 3}
    assert facts["command"].startswith("coldtune evaluate")
    table = pd.DataFrame(facts["table"])
    np.testing.assert_allclose(table["mean"], comparison.table["mean"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_one_split_alone_and_nothing_optional(tastes, tmp_path, kind):
    dataset, _ = tastes
    played = set(dataset.interactions["item_id"])
    split = warm_split(dataset) if kind == "warm" else cold_split(dataset, among=played)
    result = compare({"random": Random}, dataset, [split], ks=(3,))
    page, _ = write_report(result, tmp_path / f"{kind}.html", noun="artists")
    text = " ".join(Page(page.read_text(encoding="utf-8")).text)
    assert ("New artists, among themselves" in text) == (kind == "cold")
    assert ("Known artists, among themselves" in text) == (kind == "warm")
    assert "Genre from sound" not in text


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_several_splits_of_one_kind_keep_their_names(tastes, tmp_path):
    dataset, _ = tastes
    played = set(dataset.interactions["item_id"])
    splits = [cold_split(dataset, 0.3, seed, among=played, name=f"cold {seed}") for seed in (0, 1)]
    page, _ = write_report(compare({"random": Random}, dataset, splits), tmp_path / "r.html")
    text = " ".join(Page(page.read_text(encoding="utf-8")).text)
    assert "New songs, among themselves (cold 0)" in text
    assert "New songs, among themselves (cold 1), lists of 20" in text


def test_only_html(comparison, tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"ends in \.html"):
        write_report(comparison, tmp_path / "report.pdf")


@pytest.mark.slow
@needs("chromium")
def test_in_a_browser_every_plot_is_drawn_and_no_error_logged(written):
    seen = in_browser(written[0], "dark")
    drawn = int(re.search(r'data-drawn="(\d+)"', seen.page)[1])
    assert drawn == len(re.findall(r'class="chart[ "]', seen.page))
    assert seen.page.count('class="main-svg"') >= drawn
    assert "rgb(116, 184, 243)" in seen.page
    assert "rgb(11, 95, 165)" not in seen.page
    assert seen.messages == []
    assert seen.requests == []


@pytest.mark.slow
@needs("chromium")
def test_a_request_of_a_page_does_not_go_unseen(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<img src="http://127.0.0.1:9/x.png"><script>console.log("said")</script>')
    seen = in_browser(page)
    assert seen.requests == ["http://127.0.0.1:9/x.png"]
    assert any("said" in message for message in seen.messages)
