"""Titles, genres, ids and column names that act on terminals, pages and spreadsheets."""

import csv
import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.music import MusicDataset
from evaluation.comparison.comparison import compare
from evaluation.genre_report.write import write_study
from evaluation.models.baselines import Popularity, Random
from evaluation.report.write import write_report
from evaluation.splitting.warm import warm_split
from recsys import Recommender
from tests.helpers.commands import Call
from tests.helpers.genre import TINY, material, run_study
from tests.helpers.recommenders import QUICK

WILD = "\x1b]0;own\x07[bold red]x[/]<img src=x onerror=alert(1)>\u202etxt\r\x9b2J|`*\n# head"
"""A terminal's escape sequence, Rich markup, HTML, reversed text, Markdown, and ends of lines."""

ITEM, USER = f"i1{WILD}", f"u3{WILD}"


@pytest.fixture(scope="module")
def dataset() -> MusicDataset:
    rng = np.random.default_rng(0)
    ids = [f"i{n}{WILD if n % 2 else ''}" for n in range(24)]
    items = pd.DataFrame(
        {
            "item_id": ids,
            "title": [f"=t{n}{WILD}" for n in range(24)],
            "artist": [f"+a{n // 2}{WILD}" for n in range(24)],
            "album": "",
            "genre": [f"@g{n % 2}{WILD}" for n in range(24)],
            f"mood{WILD}": f"-m{WILD}",
        }
    )
    plays = [
        (f"u{user}{WILD}", ids[item], 1.0)
        for user in range(40)
        for item in rng.choice(24, 7, replace=False)
    ]
    return MusicDataset(items, None, pd.DataFrame(plays, columns=["user_id", "item_id", "weight"]))


@pytest.fixture(scope="module")
def model(dataset: MusicDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    embeddings = pd.DataFrame(
        np.random.default_rng(1).normal(size=(24, 4)), index=dataset.items["item_id"].tolist()
    )
    folder = tmp_path_factory.mktemp("untrusted") / "model"
    Recommender(QUICK).fit(dataset, embeddings).save(folder)
    return folder


def acting(text: str) -> set[str]:
    """Characters of a text that act on a terminal, other than ends of lines and columns."""
    hidden = ("Cc", "Cf", "Zl", "Zp")
    return {sign for sign in text if unicodedata.category(sign) in hidden} - set("\n\t")


@pytest.mark.parametrize(
    "command",
    [
        ("recommend", "MODEL", USER),
        ("recommend", "MODEL", USER, "--json"),
        ("recommend", "MODEL", USER, "--where", f"genre=@g1{WILD}"),
        ("recommend", "MODEL", USER, "--where", f"{WILD}=x"),
        ("recommend", "MODEL", USER, "--exclude", WILD),
        ("recommend", "MODEL", USER, f"--{WILD}"),
        ("recommend", "MODEL", f"nobody{WILD}"),
        ("recommend", "MODEL", "--history", ITEM),
        ("similar", "MODEL", ITEM),
        ("similar", "MODEL", f"nothing{WILD}"),
        ("playlist", "MODEL", ITEM),
        ("playlist", "MODEL", ITEM, "--json", "--length", "50"),
        ("playlist", "MODEL", f"nothing{WILD}"),
        ("playlist", "MODEL", ITEM, "--out", f"x{WILD}"),
        ("playlist", "MODEL", ITEM, "--out", f"x{WILD}.m3u8"),
        ("explain", "MODEL", USER, ITEM),
        ("explain", "MODEL", USER, ITEM, "--json"),
        ("info", "MODEL"),
        ("info", "MODEL", "--json"),
        ("songs", "MODEL"),
        ("songs", "MODEL", "--json"),
        ("songs", "MODEL", "--search", f"none{WILD}"),
        ("songs", "MODEL", "--genre", f"none{WILD}"),
        ("remove", "MODEL", f"none{WILD}"),
        ("update", "MODEL", f"none{WILD}"),
        ("train", f"none{WILD}", "--out", "x"),
        ("info", f"none{WILD}"),
        (f"none{WILD}",),
    ],
)
def test_no_command_prints_what_acts_on_a_terminal(
    command: tuple[str, ...], model: Path, call: Call
) -> None:
    said = call(*(str(model) if part == "MODEL" else part for part in command))
    assert said.code in (0, 1, 2)
    assert acting(said.out + said.err) == set()
    nothing_named = command[0] in ("info", "recommend") or command[-1].endswith(".m3u8")
    assert "[bold red]" in said.out + said.err or nothing_named
    if "--json" in command:
        json.loads(said.out)
    if said.code:
        assert re.fullmatch(r"error: .*\n", said.err)


def test_an_exported_file_has_no_formula_and_a_row_a_song(
    model: Path, tmp_path: Path, call: Call
) -> None:
    assert call("songs", model, "--export", tmp_path / "songs.csv").code == 0
    with (tmp_path / "songs.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) == 25
    assert {row[rows[0].index("title")][:3] for row in rows[1:]} == {"'=t"}
    assert not [cell for row in rows for cell in row if re.match(r"[=+@\t\r]|-[^\d.]", cell)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # by so long a name
def test_reports_have_no_foreign_html(dataset: MusicDataset, tmp_path: Path) -> None:
    models = {f"p{WILD}": Popularity, "random": Random}
    comparison = compare(models, dataset, [warm_split(dataset)], ks=(5,))
    write_report(comparison, tmp_path / "report.html", title=f"title{WILD}")
    study = run_study(material(genres=(f"jazz{WILD}", "pop"), n=12), TINY, folds=2, baseline=False)
    write_study(study, tmp_path / "genre")
    files = sorted(tmp_path.rglob("*.[mh][dt]*"))
    assert [path.suffix for path in files] == [".html", ".md"] * 2
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert path.suffix == ".html" or not re.search("^# head", text, re.M)
        assert "<img src=x" not in text
        shown = re.sub(r"<script>.*?</script>", "", text, flags=re.S)  # the plotting library
        assert acting(shown) == set()
