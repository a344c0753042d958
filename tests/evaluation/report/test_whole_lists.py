"""The first screen of a report, and its section on new items in whole lists."""

import html
import json
import re

import pytest

from evaluation.comparison.comparison import compare
from evaluation.conclusions.verdict import judge
from evaluation.models.baselines import Popularity, Random
from evaluation.models.controls import shuffled
from evaluation.report.content import control_tables, difference_tables
from evaluation.report.tables import ReportTables
from evaluation.report.whole_lists import new_items_section
from evaluation.report.write import write_report
from evaluation.splitting.cold import cold_split
from evaluation.splitting.mixed import mixed_split
from evaluation.splitting.warm import warm_split
from tests.helpers.known_answers import Budgeted, Content, world
from tests.helpers.programs import needs
from tests.helpers.reports import Page, in_browser

BUDGETS = (0.02, 0.05, 0.1)


@pytest.fixture(scope="module")
def comparison():
    dataset, embeddings = world("informative", 0)
    noise = shuffled(embeddings)
    models = {
        "hybrid | <b>": lambda: Budgeted(embeddings, 0.05),
        "als+audio": lambda: Budgeted(embeddings.iloc[:, :2], 0.05),
        "popularity": Popularity,
        "random": Random,
        "hybrid | <b>, shuffled audio": lambda: Budgeted(noise, 0.05),
    }
    return compare(
        models,
        dataset,
        [mixed_split(dataset, 0.4, among=set(dataset.interactions["item_id"]))],
        ks=(5,),
        controls={"random": "", "hybrid | <b>, shuffled audio": ""},
        n_bootstrap=200,
        budgets=BUDGETS,
        examples=1,
    )


@pytest.fixture(scope="module")
def written(comparison, tmp_path_factory):
    path = tmp_path_factory.mktemp("first") / "report.html"
    write_report(comparison, path, noun="tunes")
    return path


def test_the_section_has_the_figures_of_the_frontier(comparison):
    section = new_items_section(ReportTables(comparison, "tunes"))
    table = comparison.frontier
    rows = table[(table["model"] == "hybrid | <b>") & ~table["at_random"]]
    (subject, *others) = section["budgets"]
    assert subject["title"] == "hybrid | <b> at each budget, lists of 5"
    assert [row["name"] for row in subject["rows"]] == ["0%", "2%", "5%", "10%"]
    asked = rows[rows["discovery"].notna()].sort_values("discovery")
    for shown, row in zip(subject["rows"], asked.to_dict("records"), strict=True):
        cells = [cell["mean"] for cell in shown["cells"]]
        assert cells[0] == f"{row['share']:.1%}"
        assert cells[1:3] == [f"{row['shown']:.0f}", f"{row['shown_to_ten']:.0f}"]
        assert cells[5] == f"{row['cost']:.1%}".replace("-", "−")
        assert cells[4] == f"{row['ndcg']:.3f}"
    assert {part["title"].split(" at ")[0] for part in others} == {
        "als+audio", "hybrid | <b>, shuffled audio",
    }  # fmt: skip
    own = [(row["name"], row["control"]) for row in section["own"]["rows"]]
    assert own[-1] == ("hybrid | <b>, random new tunes", True)
    assert {name for name, _ in own[:-1]} == set(comparison.models)
    assert [row["cells"][5]["mean"] for row in section["own"]["rows"] if row["name"] == "random"]
    costs, finds = section["charts"]
    names = [trace["name"] for trace in finds.figure["data"]]
    assert names == [
        "hybrid | &lt;b&gt;", "als+audio", "hybrid | &lt;b&gt;, random new tunes there",
        "popularity", "random",
    ]  # fmt: skip
    (line, *_) = costs.figure["data"]
    assert line["x"] == pytest.approx([100 * share for share in sorted(asked["share"])])
    assert "10%" in line["text"]


def test_without_new_items_there_is_no_section():
    dataset, _ = world("informative", 0)
    result = compare({"random": Random}, dataset, [warm_split(dataset)], ks=(5,), n_bootstrap=200)
    assert new_items_section(ReportTables(result, "songs")) is None


def test_tables_give_no_verdict_on_few_new_items():
    dataset, embeddings = world("informative", 0)
    models = {"content": lambda: Content(embeddings), "popularity": Popularity, "random": Random}
    for share, few in ((0.1, True), (0.4, False)):
        split = cold_split(dataset, share, among=set(dataset.interactions["item_id"]))
        result = compare(
            models, dataset, [split], ks=(3,), controls={"random": "chance does"}, n_bootstrap=200
        )
        tables = ReportTables(result, "songs")
        said = [row["sentence"] for table in control_tables(tables) for row in table["rows"]]
        assert set(said) == ({"too few to tell: fewer than 30"} if few else {"beaten"})
        cells = [
            row["baseline"]
            for table in difference_tables(tables)
            for row in table["rows"]
            if row["baseline"] is not None
        ]
        assert all((cell["verdict"] == "too few to tell") == few for cell in cells)
        assert all((cell["p"] == "") == few for cell in cells)


@pytest.mark.slow
def test_the_verdict_comes_first_and_p_values_below(comparison, written):
    page = written.read_text(encoding="utf-8")
    verdict = judge(comparison, "tunes")
    text = " ".join(" ".join(Page(page).text).split())
    assert text.index(verdict.reason) < text.index("In lists of 5 of everything")
    first = page[page.index('class="verdict') : page.index('class="summary"')]
    assert first.count('<li class="tile ') == 4
    assert not re.search(r"\bp [<=] ?0", html.unescape(first))
    for tile in verdict.tiles:
        assert html.escape(tile.answer, quote=True).replace("&#x27;", "&#39;") in first
        assert f'class="tile {tile.state}"' in first
    assert page.index('id="new-items"') < page.index('id="results"')
    assert "<b>, random" not in page
    facts = json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["verdict"] == verdict.outcome
    assert facts["verdict_reason"] == verdict.reason
    assert [tile["state"] for tile in facts["tiles"]] == [tile.state for tile in verdict.tiles]
    assert len(facts["frontier"]) == len(comparison.frontier)
    markdown = written.with_suffix(".md").read_text(encoding="utf-8")
    word = verdict.outcome[0].upper() + verdict.outcome[1:]
    assert markdown.index(f"**{word}.**") < markdown.index("## New tunes in whole lists")
    assert markdown.index("## New tunes in whole lists") < markdown.index("## Results")


_FRAMES = """<!doctype html><body>
<iframe width="1280" height="800" style="border:0" srcdoc="{page}"></iframe>
<iframe width="390" height="844" style="border:0" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const seen = [...document.querySelectorAll("iframe")].map((frame) => {{
    const inside = frame.contentDocument, root = inside.documentElement;
    const over = [...inside.querySelectorAll(".tile, .tile *, .verdict *")].filter(
      (part) => part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 1
        && getComputedStyle(part).display !== "inline");
    return {{
      wide: root.scrollWidth - root.clientWidth,
      over: over.map((part) => part.outerHTML),
      tiles: Math.round(inside.querySelector(".tiles").getBoundingClientRect().bottom),
      drawn: root.dataset.drawn,
    }};
  }});
  document.body.dataset.seen = JSON.stringify(seen);
}});
</script>"""


@pytest.mark.slow
@needs("chromium")
def test_the_first_screen_is_whole_and_nothing_overflows(written, tmp_path):
    page = html.escape(written.read_text(encoding="utf-8"))
    (tmp_path / "frames.html").write_text(_FRAMES.format(page=page), encoding="utf-8")
    seen = in_browser(tmp_path / "frames.html", width=1700)
    assert seen.messages == []
    desk, phone = json.loads(html.unescape(re.search(r'data-seen="(.*?)"', seen.page)[1]))
    assert desk["wide"] == phone["wide"] == 0
    assert desk["over"] == phone["over"] == []
    assert desk["tiles"] <= 800
    assert int(desk["drawn"]) >= 2
