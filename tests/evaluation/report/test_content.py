import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest

from datasets.errors import InvalidArgumentError
from evaluation.comparison.comparison import compare
from evaluation.comparison.trial import is_variant
from evaluation.conclusions.evidence import paired_gaps
from evaluation.conclusions.wording import format_p_value
from evaluation.models.baselines import Popularity, PopularityOracle, Random
from evaluation.report.content import SECTIONS, control_tables, correction_note
from evaluation.report.tables import ReportTables
from evaluation.report.write import report_files, write_report
from evaluation.splitting.cold import cold_folds, cold_user_split
from evaluation.splitting.warm import warm_split
from tests.helpers.programs import needs
from tests.helpers.reports import Page, in_browser, printed


@pytest.fixture(scope="module")
def comparison(tastes):
    dataset, embeddings = tastes
    played = set(dataset.interactions["item_id"])
    return compare(
        {
            "popularity": Popularity,
            "random | one": Random,
            "oracle, popular": lambda: PopularityOracle(dataset),
        },
        dataset,
        [
            warm_split(dataset),
            *cold_folds(dataset, 3, among=played),
            cold_user_split(dataset, given=3),
        ],
        ks=(5, 10),
        controls={"oracle, popular": "lists show what is popular"},
        sampled=20,
        embeddings=embeddings,
        n_bootstrap=200,
        examples=4,
    )


@pytest.fixture(scope="module")
def curve():
    rows = [
        (model, fraction, int(1000 * fraction), "ndcg", 5, mean, mean - 0.01, mean + 0.02)
        for model, start in (("popularity", 0.1), ("random | one", 0.01))
        for fraction, mean in ((0.5, start), (1.0, 2 * start))
    ]
    columns = ["model", "fraction", "interactions", "metric", "k", "mean", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="module")
def song_map(tastes):
    items = tastes[0].items[["item_id", "title", "artist", "genre"]].copy()
    items.loc[0, "title"] = "</script><i>odd"
    random = np.random.default_rng(0)
    return items.assign(
        x=random.normal(size=len(items)), y=random.normal(size=len(items)), cold=items.index >= 80
    )


@pytest.fixture(scope="module")
def written(comparison, curve, song_map, tmp_path_factory):
    path = tmp_path_factory.mktemp("sections") / "all of it.html"
    write_report(comparison, path, curve=curve, song_map=song_map, command="make evaluation")
    return path


@pytest.fixture(scope="module")
def text(written):
    page = Page(written.read_text(encoding="utf-8"))
    return " ".join(" ".join(page.text).split())


def figures_of(path):
    found = re.search(r'id="figures">(.*?)</script>', path.read_text(encoding="utf-8"), re.S)
    return json.loads(found[1])


@pytest.mark.slow
def test_every_section_but_genre_is_there_and_in_the_contents(written):
    page = Page(written.read_text(encoding="utf-8"))
    expected = [name for name in SECTIONS if name != "genre"]
    assert [name for name in page.ids if name in SECTIONS] == expected
    links = [address for _, address in page.addresses if address.startswith("#")]
    assert links == ["#content", *(f"#{name}" for name in expected)]
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.slow
def test_differences_are_corrected_and_said_in_words(comparison, text):
    assert "Intervals are not widened" not in text
    assert "Holm" in text
    gap = comparison.gaps("baseline")["cold", "cold", "random | one", "ndcg", 5][1]
    p = "p < 0.001" if gap.p_corrected < 0.001 else f"p = {gap.p_corrected:.3f}"
    verdict = "no difference shown" if not gap.shown else "better" if gap.mean > 0 else "worse"
    assert f"{verdict} {p}" in text


def test_controls_say_what_follows(comparison, text):
    best = max(
        ("popularity", "random | one"),
        key=lambda name: comparison.figures()["cold", "cold", name, "ndcg", 5].mean,
    )
    gap = comparison.difference(
        best, "oracle, popular", split="cold", candidates="cold", metric="ndcg", k=5
    )
    assert gap.high < 0
    figure = f"{gap.mean:+.3f} {gap.low:+.3f} to {gap.high:+.3f}".replace("-", "−")
    assert f"{figure} does better, so lists show what is popular p " in text


def test_controls_say_for_how_many_comparisons_p_is_corrected(text, written):
    said = (
        "p is corrected for the 1 comparison of a table (Holm), and among the differences for all"
        " models held against the same one: the same pair may have another p there."
    )
    assert said in text
    assert said in written.with_suffix(".md").read_text(encoding="utf-8")


def test_the_two_corrections_are_told_apart_and_true(tastes):
    dataset, _ = tastes
    result = compare(
        {"popularity": Popularity, "random": Random, "other": lambda: Random(seed=1)},
        dataset,
        [warm_split(dataset)],
        ks=(5,),
        controls={"random": "", "other": ""},
        n_bootstrap=200,
    )
    tables = ReportTables(result, "songs")
    assert correction_note(tables).startswith(
        "p is corrected for the 2 comparisons of a table (Holm)"
    )
    (table,) = control_tables(tables)
    pairs = [
        tuple(("warm", "catalogue", name, "ndcg", 5) for name in ("popularity", control))
        for control in ("random", "other")
    ]
    expected = [format_p_value(gap.p_corrected) for gap in paired_gaps(result, pairs)]
    assert [row["gap"]["p"] for row in table["rows"]] == expected


def test_a_control_made_of_a_model_is_held_against_it(tastes):
    dataset, _ = tastes
    result = compare(
        {"popularity": Popularity, "random": Random, "random, shuffled audio": Random},
        dataset,
        [warm_split(dataset)],
        ks=(5,),
        controls={"random, shuffled audio": "the audio adds nothing"},
        n_bootstrap=200,
    )
    (table,) = control_tables(ReportTables(result, "songs"))
    (row,) = table["rows"]
    assert row["model"] == "random"
    assert row["gap"]["mean"] == "+0.000"
    assert row["sentence"] == "not shown to be beaten: it may be that the audio adds nothing"


def test_slices_have_their_figures_and_their_users(comparison, written):
    rows = Page(written.read_text(encoding="utf-8")).rows
    wanted = comparison.slices.query(
        "split == 'warm' and candidates == 'catalogue' and by == 'popularity'"
        " and metric == 'ndcg' and k == 5 and model == 'popularity'"
    )
    heading = next(row for row in rows if any(cell.startswith("head (") for cell in row))
    row = rows[rows.index(heading) + 1 :]
    row = next(row for row in row if row[0] == "popularity")
    for part in wanted.itertuples():
        place = heading.index(f"{part.slice} ({part.n:,})")
        assert row[place].startswith(f"{part.mean:.3f}")


def test_folds_have_mean_and_deviation(comparison, text):
    row = comparison.folds.query(
        "split == 'cold' and candidates == 'cold' and model == 'popularity'"
        " and metric == 'ndcg' and k == 5"
    ).iloc[0]
    assert row["folds"] == 3
    assert f"{row['mean']:.3f} ± {row['sd']:.3f} {row['low']:.3f}–{row['high']:.3f}" in text
    assert "New songs, among themselves: 3 folds" in text


def test_sampled_candidates_are_marked_wherever_they_are(comparison, text, written):
    assert any(name.startswith("sampled") for name in comparison.table["candidates"])
    # The table of results, that of all figures at both lengths, and what they mean.
    assert text.count("sampled: against 20 drawn") >= 3
    assert "ranked against a few items drawn at random" in text
    markdown = written.with_suffix(".md").read_text(encoding="utf-8")
    assert markdown.count("sampled: against 20 drawn") >= 3
    # In the main tables after everything else, each under a heading of its own.
    page = written.read_text(encoding="utf-8")
    main = page[page.index('id="results"') : page.index('id="glance"')]
    headings = re.findall(r'<th scope="colgroup".*?<span>(.*?)</span>', main)
    marked = [heading.endswith("sampled: against 20 drawn") for heading in headings]
    assert sum(marked) == 3
    assert marked == sorted(marked)


def test_no_metric_beside_accuracy_has_a_best(written):
    page = written.read_text(encoding="utf-8")
    section = page[page.index('id="beyond"') : page.index('id="curve"')]
    for row in re.findall(r"<tr.*?</tr>", section, re.S):
        cells = re.findall(r'<td class="(.*?)"', row)
        assert not any("best" in cell for cell in cells[1:])
    assert any("best" in cell for cell in re.findall(r'<td class="(.*?)"', section))


def test_examples_mark_the_hits(comparison, text, written):
    for number, user in enumerate(comparison.examples, 1):
        assert f"User {number} {user.user_id}" in text
    hits = sum(
        item["hit"]
        for user in comparison.examples
        for shown in user.lists.values()
        for item in shown
    )
    assert hits > 0
    page = written.read_text(encoding="utf-8")
    assert page.count('<td class="text hit">') == hits
    markdown = written.with_suffix(".md").read_text(encoding="utf-8")
    assert markdown.count("**✓ ") == hits


def test_the_map_differs_in_shape_too_and_outlines_what_was_held_out(song_map, written):
    traces = figures_of(written)["embedding-map"]["data"]
    assert [trace["name"] for trace in traces if trace.get("showlegend", True)] == [
        "jazz (30)", "pop (30)", "rock (30)", "outlined: held out",
    ]  # fmt: skip
    assert len({trace["marker"]["symbol"] for trace in traces}) == 4
    outlined = [trace for trace in traces[:-1] if trace["marker"]["line"]["width"]]
    assert sum(len(trace["x"]) for trace in outlined) == song_map["cold"].sum() == 10
    assert sum(len(trace["x"]) for trace in traces[:-1]) == len(song_map)
    # plotly reads HTML in its texts.
    texts = [text for trace in traces[:-1] for text in trace["text"]]
    assert sum("&lt;/script&gt;&lt;i&gt;odd" in text for text in texts) == 1


def test_markdown_shows_every_picture_and_escapes_names(written):
    markdown = written.with_suffix(".md").read_text(encoding="utf-8")
    pictures = sorted(path.name for path in (written.parent / "all of it-pictures").iterdir())
    shown = re.findall(r"\]\(all%20of%20it-pictures/(.*?)\)", markdown)
    assert sorted(shown) == pictures
    assert set(figures_of(written)) == {name.removesuffix(".png") for name in pictures}
    assert "random \\| one" in markdown
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1
    for path in (written.parent / "all of it-pictures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_files_of_a_report(written):
    names = [path.name for path in report_files(written)]
    assert names[:3] == ["all of it.html", "all of it.md", "all of it.json"]
    assert "embedding-map.png" in names[3:]
    assert all(path.is_file() for path in report_files(written))


def test_json_has_the_sections(written, comparison, song_map):
    facts = json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(facts["slices"]) == len(comparison.slices)
    assert len(facts["folds"]) == len(comparison.folds)
    assert [user["user_id"] for user in facts["examples"]] == [
        user.user_id for user in comparison.examples
    ]
    assert facts["song_map"]["item_id"] == song_map["item_id"].tolist()
    assert len(facts["curve"]) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_sections_without_data_are_left_out(comparison, tmp_path):
    bare = dataclasses.replace(
        comparison,
        slices=comparison.slices.iloc[:0],
        folds=comparison.folds.iloc[:0],
        examples=(),
        controls={},
    )
    path, _ = write_report(bare, tmp_path / "bare.html")
    page = Page(path.read_text(encoding="utf-8"))
    missing = {"slices", "folds", "examples", "controls", "curve", "map", "genre"}
    assert not missing & set(page.ids)
    markdown = path.with_suffix(".md").read_text(encoding="utf-8")
    assert all(f"## {SECTIONS[name]}" not in markdown for name in missing)


def test_a_curve_or_map_that_lacks_a_column_is_refused(comparison, curve, song_map, tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"curve lacks the column\(s\) low"):
        write_report(comparison, tmp_path / "r.html", curve=curve.drop(columns="low"))
    with pytest.raises(InvalidArgumentError, match=r"song_map lacks the column\(s\) x, y"):
        write_report(comparison, tmp_path / "r.html", song_map=song_map.drop(columns=["x", "y"]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@needs("chromium")
def test_in_a_browser_every_section_is_drawn_on_a_telephone(written):
    seen = in_browser(written, "light", width=390)
    assert "rgb(11, 95, 165)" in seen.page
    assert f'data-drawn="{len(figures_of(written))}"' in seen.page
    assert seen.messages == []
    assert seen.requests == []


@pytest.mark.slow
@needs("chromium", "pdftotext")
def test_on_paper_nothing_is_folded(comparison, written):
    text = " ".join(printed(written).split())
    for number in range(2, len(comparison.examples) + 1):
        assert text.count(f"User {number} ") == 1
    # Within the last of the folded parts: the configuration.
    assert '"max_auc_users"' in text
    # A table of all figures, and all the lists of the last user.
    ranked = set(zip(comparison.table["split"], comparison.table["candidates"], strict=True))
    ranked = {place for place in ranked if not is_variant(place[1])}
    assert text.count("Hit rate@10") == len(ranked)
    last = comparison.examples[-1].lists["popularity"][-1]["title"]
    assert last in text[text.index(f"User {len(comparison.examples)} ") :]
