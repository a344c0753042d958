"""Last.fm-360K: play counts as published, with lines that are no play counts."""

from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.public.base import fetch
from datasets.public.loaders.lastfm_360k import ARCHIVE, LASTFM_360K, PLAYS_FILE
from tests.helpers.archives import tar

ANN, BOB = "00000c289a1829a808ac09c00daf10bc3c4e223b", "00001411dc427966b17297bf4d69e7e193135d89"
BETTY, ARZTE = "3bd73256-3905-4f3a-97e2-8b341527f805", "f2fb0ff0-5679-42ec-a55c-15109ce6e320"
LINES = [
    f"{ANN}\t{BETTY}\tbetty blowtorch\t2137",
    f"{ANN}\t{ARZTE}\tdie Ärzte\t1099",
    f'{ANN}\t\tthe "black  album\t7',
    f"{BOB}\t{ARZTE}\tdie aerzte\t12",
    f'{BOB}\t\tthe "black album \t3',
    "sep 20, 2008\t7ffd711a-b34d-4739-8aab-25e045c246da\tturbostaat\t12",
    f"{BOB}\t\t\t4",
    f"{BOB}\t{BETTY}\tbetty blowtorch\t0",
    f"{BOB}\t{BETTY}\tbetty blowtorch",
    f"{BOB}\t{BETTY}\tbetty\tblowtorch\t5",
    f"{BOB}\t{BETTY}\tbetty blowtorch\t-5",
    "dec 27, 2008\t\tturbostaat\t12",
]


@pytest.mark.parametrize("packed", [True, False])
def test_converted(tmp_path: Path, packed: bool) -> None:
    content = "".join(f"{line}\n" for line in LINES).encode()
    source = tmp_path / "published"
    if packed:
        source.mkdir()
        tar(source / ARCHIVE, {f"lastfm-dataset-360K/{PLAYS_FILE}": content})
    else:
        folder = source / "lastfm-dataset-360K"
        folder.mkdir(parents=True)
        (folder / PLAYS_FILE).write_bytes(content)
    music = fetch(LASTFM_360K, tmp_path / "out", source=source, progress=False)
    black = 'the "black album'
    assert music.items[["item_id", "title", "artist"]].values.tolist() == [
        [BETTY, "betty blowtorch", "betty blowtorch"],
        [ARZTE, "die Ärzte", "die Ärzte"],
        [black, black, black],
    ]
    assert music.interactions.values.tolist() == [
        [ANN, BETTY, 2137.0], [ANN, ARZTE, 1099.0], [ANN, black, 7.0], [BOB, ARZTE, 12.0],
        [BOB, black, 3.0],
    ]  # fmt: skip
    assert (tmp_path / "out" / "left-out.csv").read_text().splitlines()[1:] == [
        f"{PLAYS_FILE},2 lines: the user is no SHA-1; the first is line 6",
        f"{PLAYS_FILE},1 lines: neither id nor name of an artist; the first is line 7",
        f"{PLAYS_FILE},1 lines: no plays; the first is line 8",
        f'{PLAYS_FILE},"1 lines: 3 values, not 4; the first is line 9"',
        f'{PLAYS_FILE},"1 lines: 5 values, not 4; the first is line 10"',
        f"{PLAYS_FILE},1 lines: the plays are no number; the first is line 11",
    ]


def test_another_format(tmp_path: Path) -> None:
    (tmp_path / PLAYS_FILE).write_text("user,artist,plays\n")
    with pytest.raises(DataError, match="no line can be used: 1 lines: 1 values, not 4"):
        fetch(LASTFM_360K, tmp_path / "out", source=tmp_path, progress=False)
