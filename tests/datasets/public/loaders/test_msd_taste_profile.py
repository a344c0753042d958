"""The Taste Profile: triplets, names and the list of wrong matches, as published."""

import json
import zipfile
from pathlib import Path

import pytest

from datasets.public.base import fetch
from datasets.public.loaders.msd_taste_profile import (
    MISMATCHES_FILE,
    MSD_TASTE_PROFILE,
    TRACKS_FILE,
    TRIPLETS_FILE,
)

ANN, BOB = "b80344d063b5ccb3212f76538f3d9e43d87dca9e", "85c1f87fea955d09b4bec2e36aee110927aedf9a"
ONE, TWO, WRONG, BARE, BAD = (
    "SOAKIMP12A8C130995", "SOAPDEY12A81C210A9", "SOUMNSI12AB0182807", "SOBBMDR12A8C13253B",
    "SOBYHAJ12A6701BF1D",
)  # fmt: skip
TRIPLETS = (
    f"{ANN}\t{ONE}\t1\n{ANN}\t{WRONG}\t5\n{ANN}\t{TWO}\t2\n{BOB}\t{ONE}\t14\n{BOB}\t{BARE}\t3\n"
    f"{BOB}\t{WRONG}\t1\n{BOB}\t{TWO}\n{BOB}\t{TWO}\tx\n{BOB}\t{BAD}\t6\n"
)
TRACKS = (
    f"TRMMMYQ128F932D901<SEP>{TWO}<SEP>Böhse Onkelz<SEP>Silent Night\n"
    f"TRMMMKD128F425225D<SEP>{ONE}<SEP>Jack  Johnson<SEP>The Cove\n"
    f"TRAAAAK128F9318786<SEP>{ONE}<SEP>Jack Johnson<SEP>The Cove (again)\n"
    "TRMMMRX128F93187D9<SEP>SOGTUKN12AB017F4F1<SEP>Hudson Mohawke<SEP>No One Could Ever\n"
    "TRMMMXX128F93187D9<SEP>SOGTUKN12AB017F4F2<SEP>no title\n"
)
MISMATCHES = (
    f"ERROR: <{WRONG} TRMMGKQ128F9325E10> Digital Underground  -  The Way We Swing  !=  Linkwood"
    "  -  Whats up with the Underground\n"
    "ERROR: <SOCMRBE12AB018C546 TRMMREB12903CEB1B1> Jimmy R\xe9ed  -  a <b> c  !=  Slim  -  d\n"
)


@pytest.mark.parametrize("packed", [True, False])
def test_converted(tmp_path: Path, packed: bool) -> None:
    source = tmp_path / "published"
    source.mkdir()
    if packed:
        with zipfile.ZipFile(source / f"{TRIPLETS_FILE}.zip", "w") as archive:
            archive.writestr(TRIPLETS_FILE, TRIPLETS)
    else:
        (source / TRIPLETS_FILE).write_text(TRIPLETS)
    not_utf8 = f"TRMMMXX128F93187D8<SEP>{BAD}<SEP>Bj\xf6rk<SEP>Hunter\n".encode("latin-1")
    (source / TRACKS_FILE).write_bytes(TRACKS.encode() + not_utf8)
    (source / MISMATCHES_FILE).write_bytes(MISMATCHES.encode("latin-1"))
    music = fetch(MSD_TASTE_PROFILE, tmp_path / "out", source=source, progress=False)
    assert music.items[["item_id", "title", "artist", "track_id"]].values.tolist() == [
        [ONE, "The Cove", "Jack Johnson", "TRMMMKD128F425225D"],
        [TWO, "Silent Night", "Böhse Onkelz", "TRMMMYQ128F932D901"],
        [BARE, "", "", ""],
        [BAD, "Hunter", "Bj\ufffdrk", "TRMMMXX128F93187D8"],
    ]
    assert music.interactions.values.tolist() == [
        [ANN, ONE, 1.0], [ANN, TWO, 2.0], [BOB, ONE, 14.0], [BOB, BARE, 3.0],
        [BOB, BAD, 6.0],
    ]  # fmt: skip
    assert (tmp_path / "out" / "left-out.csv").read_text().splitlines()[1:] == [
        f"{TRIPLETS_FILE},2 lines: the song is matched to a wrong track; the first is line 2",
        f'{TRIPLETS_FILE},"1 lines: not user, song and plays; the first is line 7"',
        f"{TRIPLETS_FILE},1 lines: the plays are no number; the first is line 8",
        f'{TRACKS_FILE},"1 lines: 3 values, not 4; the first is line 5"',
    ]
    (source / MISMATCHES_FILE).unlink()
    (source / TRACKS_FILE).unlink()
    plays = fetch(MSD_TASTE_PROFILE, tmp_path / "other", source=source, progress=False)
    assert len(plays.items) > len(music.items)
    assert set(plays.items["title"]) == {""}
    missing = json.loads((tmp_path / "other" / "about.json").read_text())["missing"]
    assert [one.rpartition(": ")[2] for one in missing] == [
        "songs that were matched to a wrong track stay",
        "songs have no titles and artists",
    ]
