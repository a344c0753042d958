"""A data set on disk: every form a CSV table may have, and every kind of damage."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import folder as folder_module
from datasets.errors import DataError, InvalidArgumentError
from datasets.folder import load_folder, save_folder
from datasets.music import MusicDataset
from tests.helpers.folders import (
    AUDIO,
    INTERACTIONS,
    ITEMS,
    assert_same,
    make,
    message_of,
    message_or_none,
)
from tests.helpers.thorough import times


class TestCsv:
    def test_the_plain_form(self, tmp_path: Path) -> None:
        dataset = load_folder(make(tmp_path))
        assert dataset.root == tmp_path
        assert list(dataset.items["title"]) == ["Alpha", "Beta"]
        assert dataset.recording_paths() == [tmp_path / "a.wav"]
        assert list(dataset.interactions["weight"]) == [1.0, 2.0]

    def test_a_path_may_be_text(self, tmp_path: Path) -> None:
        assert len(load_folder(str(make(tmp_path))).items) == 2

    @pytest.mark.slow
    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("quote", ["", '"'])
    def test_separators_line_ends_and_marks(
        self, tmp_path: Path, separator: str, line_end: str, mark: bytes, quote: str
    ) -> None:
        def dialect(table: str) -> bytes:
            lines = [
                separator.join(f"{quote}{value}{quote}" for value in line.split(","))
                for line in table.splitlines()
            ]
            return mark + (line_end.join(lines) + line_end).encode()

        plain = load_folder(make(tmp_path / "plain"))
        other = load_folder(
            make(
                tmp_path / "other",
                items=dialect(ITEMS),
                audio=dialect(AUDIO),
                interactions=dialect(INTERACTIONS),
            )
        )
        assert_same(plain, other)

    def test_ids_and_texts_stay_exactly_as_written(self, tmp_path: Path) -> None:
        ids = [
            "007",
            "7",
            "7.0",
            "NA",
            "nan",
            "null",
            "None",
            "true",
            "1e5",
            " 7",
            "-",
            "日本",
            "#",
        ]
        header = "item_id,title,artist,album,genre\n"
        items = header + "".join(f"{i},{i},{i},,\n" for i in ids)
        plays = "user_id,item_id,weight\n" + "".join(f"{i},{i},1\n" for i in ids)
        dataset = load_folder(make(tmp_path, items=items, interactions=plays, audio=None))
        for values in (
            dataset.items["item_id"],
            dataset.items["artist"],
            dataset.interactions["user_id"],
            dataset.interactions["item_id"],
        ):
            assert list(values) == ids

    def test_quotes_line_ends_and_letters_of_any_script(self, tmp_path: Path) -> None:
        rows = 'a,"One, two ""three""\nfour",Сплин,"x\r\ny",jazz\nb,12" mix,椎名林檎,é\u0301,\n'
        dataset = load_folder(make(tmp_path, items="item_id,title,artist,album,genre\n" + rows))
        assert list(dataset.items["title"]) == ['One, two "three"\nfour', '12" mix']
        assert list(dataset.items["artist"]) == ["Сплин", "椎名林檎"]
        assert list(dataset.items["album"]) == ["x\r\ny", "é\u0301"]

    def test_blank_lines_are_passed_over(self, tmp_path: Path) -> None:
        dataset = load_folder(make(tmp_path, items="\n" + ITEMS.replace("\n", "\n\n") + "\n"))
        assert list(dataset.items["item_id"]) == ["a", "b"]

    def test_the_last_line_needs_no_end(self, tmp_path: Path) -> None:
        plays = load_folder(make(tmp_path, interactions=INTERACTIONS.rstrip())).interactions
        assert list(plays["weight"]) == [1.0, 2.0]

    def test_columns_in_any_order_and_further_ones(self, tmp_path: Path) -> None:
        items = "mood,genre,title, item_id ,artist,album,year\ncalm,jazz,Alpha,a,Ann,,1959\n"
        plays = "device,weight,item_id,user_id\nphone,1,a,u\n"
        dataset = load_folder(make(tmp_path, items=items, interactions=plays))
        assert list(dataset.items) == [
            "item_id", "title", "artist", "album", "genre", "mood", "year",
        ]  # fmt: skip
        assert dataset.tags == ["mood", "year"]
        assert list(dataset.items["year"]) == ["1959"]
        assert list(dataset.interactions) == ["user_id", "item_id", "weight"]

    def test_audio_may_be_absent_or_a_header_alone(self, tmp_path: Path) -> None:
        absent = load_folder(make(tmp_path / "absent", audio=None))
        header = load_folder(make(tmp_path / "header", audio="item_id,path\n"))
        assert_same(absent, header)
        assert list(absent.audio) == ["item_id", "path", "title", "genre"]

    def test_interactions_may_be_a_header_alone(self, tmp_path: Path) -> None:
        dataset = load_folder(make(tmp_path, interactions="user_id,item_id,weight,timestamp"))
        assert len(dataset.interactions) == 0
        assert dataset.interactions["weight"].dtype == np.float64
        assert dataset.interactions["timestamp"].dtype == np.dtype("datetime64[ns]")

    def test_times(self, tmp_path: Path) -> None:
        plays = (
            "user_id,item_id,weight,timestamp\n"
            "u,a,1,2024-01-31T01:00:00+01:00\nu,a,1,1706659200\nu,a,1,2024-01-31\n"
        )
        times = load_folder(make(tmp_path, interactions=plays)).interactions["timestamp"]
        assert list(times) == [pd.Timestamp("2024-01-31")] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tables", "message"),
    [
        # the file as a whole
        ({"items": ""}, "items.csv is empty; a header line with the column names is expected"),
        ({"items": "\n \n"}, "items.csv: column 1 has no name; was the table saved with its row"),
        ({"audio": b""}, "audio.csv is empty"),
        ({"interactions": b"\xef\xbb\xbf"}, "interactions.csv is empty"),
        ({"items": ITEMS.splitlines()[0]}, "items.csv has no items"),
        ({"items": ITEMS.encode("utf-16")[:-1]}, "items.csv is not valid UTF-16; save it as UTF-8"),
        (
            {"items": ITEMS.replace("Beta", "Bé").encode("latin-1")},
            "items.csv, line 3: byte 0xe9 is not UTF-8",
        ),
        (
            {"items": ITEMS.replace("\n", "\r").replace("Beta", "Bé").encode("latin-1")},
            "items.csv, line 3: byte 0xe9 is not UTF-8",
        ),
        ({"items": "item_idé".encode("latin-1")}, "items.csv, line 1: byte 0xe9 is not UTF-8"),
        ({"items": "PAR1\0\0PAR1"}, "items.csv is not a Parquet file that can be read"),
        ({"items": "R1\0\0,PAR1"}, "items.csv: the name of column 1 is not valid text"),
        # columns
        (
            {"items": ITEMS.replace("item_id", "id")},
            "items.csv: column 'item_id' missing; there are: 'id', 'title', 'artist'",
        ),
        ({"items": ITEMS.replace("album", "record")}, "items.csv: column 'album' missing"),
        ({"audio": "item_id,file\n"}, "audio.csv: column 'path' missing"),
        ({"interactions": "user_id,item_id\nu,a\n"}, "interactions.csv: column 'weight' missing"),
        ({"interactions": "u;i;w\n"}, "interactions.csv: columns 'user_id', 'item_id', 'weight'"),
        ({"items": ITEMS.replace("album", "title")}, "items.csv: two columns are named 'title'"),
        ({"items": ITEMS.replace("album", " title")}, "items.csv: two columns are named 'title'"),
        (
            {"items": "," + ITEMS.rstrip().replace("\n", "\n0,")},
            "items.csv: column 1 has no name; was",
        ),
        # the shape of a line
        (
            {"items": ITEMS + "c,Gamma\n"},
            "items.csv, line 4: 2 values, but the header names 5 columns",
        ),
        (
            {"items": ITEMS + "c,One, two,Ann,,\n"},
            "items.csv, line 4: 6 values, but the header names 5 columns",
        ),
        (
            {"items": ITEMS + 'c,"Gamma,,,\nd,,,,\n'},
            "items.csv, line 4: a quoted value begins here and has no closing quote",
        ),
        (
            {"items": ITEMS + 'c,"Heroes" live,,,\n'},
            "items.csv, line 4: text follows a closing quote",
        ),
        (
            {"items": ITEMS + f'c,"{"x" * 200_000}",,,\n'},
            "items.csv, line 4: a value is longer than 131,072 characters",
        ),
        # ids
        (
            {"items": ITEMS + "a,,,,\nb,,,,\n"},
            "items.csv, line 4, column 'item_id': 'a' is there already, in line 2; "
            "an item_id must be unique (1 more such row)",
        ),
        ({"items": ITEMS + " ,,,,\n"}, "items.csv, line 4, column 'item_id': is blank"),
        ({"items": ITEMS + "c,x\0y,,,\n"}, r"items.csv, line 4, column 'title': 'x\x00y' holds a"),
        (
            {"interactions": INTERACTIONS + "u,x,1\n"},
            "interactions.csv, line 4, column 'item_id': 'x' is not among the items",
        ),
        (
            {"interactions": INTERACTIONS + "u,a ,1\n"},
            "interactions.csv, line 4, column 'item_id': 'a ' is not among the items",
        ),
        ({"interactions": INTERACTIONS + ",a,1\n"}, "interactions.csv, line 4, column 'user_id'"),
        ({"audio": AUDIO + "x,a.wav,,\n"}, "audio.csv, line 3, column 'item_id': 'x' is not among"),
        # weights and times
        (
            {"interactions": INTERACTIONS + "u,a,-1\n"},
            "interactions.csv, line 4, column 'weight': -1 is negative",
        ),
        ({"interactions": INTERACTIONS + "u,a,nan\n"}, "interactions.csv, line 4, column 'weight'"),
        ({"interactions": INTERACTIONS + "u,a,inf\n"}, "interactions.csv, line 4, column 'weight'"),
        ({"interactions": INTERACTIONS + "u,a,\n"}, "interactions.csv, line 4, column 'weight'"),
        (
            {"interactions": INTERACTIONS + "u,a,lots\n"},
            "interactions.csv, line 4, column 'weight': 'lots' is not a number",
        ),
        (
            {"interactions": "user_id;item_id;weight\nu;a;1\nu;a;1,500\n"},
            "interactions.csv, line 3, column 'weight': '1,500' is not a number; write decimals",
        ),
        (
            {"interactions": "user_id,item_id,weight,timestamp\nu,a,1,2024-01-31\nu,a,1,today\n"},
            "interactions.csv, line 3, column 'timestamp': 'today' is not a time",
        ),
        # recordings
        (
            {"audio": AUDIO + "a,../a.wav,,\n"},
            "audio.csv, line 3, column 'path': '../a.wav' leaves",
        ),
        ({"audio": AUDIO + "a,/a.wav,,\n"}, "audio.csv, line 3, column 'path': '/a.wav' is absol"),
        (
            {"audio": AUDIO + "a,b.wav,,\nb,c.wav,,\n"},
            "audio.csv, line 3, column 'path': 'b.wav' does not exist (1 more such row)",
        ),
        ({"audio": AUDIO + "a,,,\n"}, "audio.csv, line 3, column 'path': is blank"),
    ],
)
def test_damage_is_named(tmp_path: Path, tables: dict[str, Any], message: str) -> None:
    assert message in message_of(make(tmp_path, **tables))


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    items = 'item_id,title,artist,album,genre\n"a","1\n2\r\n3",,,\n\n\nb,,,,\nb,,,,\n'
    assert "items.csv, line 8, column 'item_id': 'b' is there already, in line 7" in message_of(
        make(tmp_path / "ids", items=items)
    )
    ragged = 'item_id,title,artist,album,genre\n"a","1\n2",,,\n\nb\n'
    assert "items.csv, line 5: 1 values" in message_of(make(tmp_path / "ragged", items=ragged))


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    message = message_of(make(tmp_path, interactions=INTERACTIONS + f"u,{'x' * 5000},1\n"))
    assert len(message) < 200


class TestFolder:
    def test_folder_missing(self, tmp_path: Path) -> None:
        assert message_of(tmp_path / "none").strip() == "does not exist"

    def test_folder_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert "is not a folder" in message_of(tmp_path / "file")

    def test_table_missing(self, tmp_path: Path) -> None:
        folder = make(tmp_path, items=None)
        assert "has no items.csv and no items.parquet" in message_of(folder)

    @pytest.mark.parametrize("name", ["items", "audio", "interactions"])
    def test_table_in_both_formats(self, tmp_path: Path, name: str) -> None:
        folder = make(tmp_path)
        (folder / f"{name}.parquet").touch()
        assert f"has both {name}.csv and {name}.parquet" in message_of(folder)

    def test_table_is_a_directory(self, tmp_path: Path) -> None:
        folder = make(tmp_path, items=None)
        (folder / "items.csv").mkdir()
        assert "items.csv cannot be read: is a folder" in message_of(folder)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
    def test_table_may_not_be_read(self, tmp_path: Path) -> None:
        folder = make(tmp_path)
        (folder / "items.csv").chmod(0)
        assert "items.csv cannot be read: Permission denied" in message_of(folder)

    def test_a_link_that_leads_out(self, tmp_path: Path) -> None:
        folder = make(tmp_path / "set", audio=AUDIO + "b,b.wav,,\n")
        (tmp_path / "b.wav").touch()
        (folder / "b.wav").symlink_to(tmp_path / "b.wav")
        assert "audio.csv, line 3, column 'path': 'b.wav' is a link that leaves" in message_of(
            folder
        )

    def test_names_with_spaces_quotes_and_other_letters(self, tmp_path: Path) -> None:
        folder = make(tmp_path / "a 'b' \"c\" ж", audio='item_id,path\na,"дом, ""сад"" .wav"\n')
        (folder / 'дом, "сад" .wav').touch()
        assert load_folder(folder).recording_paths() == [folder / 'дом, "сад" .wav']


@pytest.mark.slow
@settings(max_examples=times(50, 150))
@given(content=st.one_of(st.binary(max_size=60), st.text('aé,;"\n\r\0\t ', max_size=40)))
def test_any_bytes_give_a_data_set_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    header = b"item_id,title,artist,album,genre\n"
    for items in (data, header + data, header + b"a,b,c,d,e\n" + data):
        folder = make(tmp_path_factory.mktemp("bytes"), items=items, audio=None)
        (folder / "interactions.csv").write_text("user_id,item_id,weight\n")
        message = message_or_none(folder)
        prefix = re.escape(str(folder / "items.csv"))
        assert message is None or re.fullmatch(rf"{prefix}\b.+", message)


@pytest.mark.slow
def test_ninety_thousand_interactions_load_in_a_moment(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = np.array([f"lastfm:{number}" for number in range(17_664)])
    items = pd.DataFrame({"item_id": names, "title": names, "artist": names})
    items = items.assign(album="", genre="")
    users = [f"u{number}" for number in rng.integers(0, 1892, 92_834)]
    played = names[rng.zipf(1.5, 92_834) % len(names)]
    plays = pd.DataFrame({"user_id": users, "item_id": played})
    plays["weight"] = rng.integers(1, 100_000, len(plays))
    items.to_csv(tmp_path / "items.csv", index=False)
    plays.to_csv(tmp_path / "interactions.csv", index=False)
    begin = time.process_time()
    dataset = load_folder(tmp_path)
    took, begin = time.process_time() - begin, time.process_time()
    for _ in range(10_000):
        plays.iloc[0]
    # About 0.3 s, as for these rows: the bound leaves none for a loop over all in pandas.
    assert took < 4 * (time.process_time() - begin)
    assert list(dataset.interactions["item_id"]) == list(played)
    assert np.array_equal(dataset.interactions["weight"], plays["weight"])


@pytest.mark.slow
def test_real_listening(real_mini: Path) -> None:
    dataset = load_folder(real_mini)
    counts = dataset.summary()
    assert counts["n_items"] == 17_664
    assert counts["n_users"] == 1_892
    assert counts["n_interactions"] == 92_834
    assert counts["n_recordings"] == 100
    assert counts["n_items_with_audio"] == 61
    assert set(dataset.recording_labels().value_counts()) == {10}
    # Oracle: the same rows as another reader sees them.
    plain = pd.read_csv(real_mini / "interactions.csv", dtype=str, keep_default_na=False)
    assert list(plain["item_id"]) == list(dataset.interactions["item_id"])
    assert plain["weight"].astype(float).sum() == dataset.interactions["weight"].sum()


def test_the_example_in_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data-format.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "data-format.md", "exec"), {})
    shown = re.findall(r"^print\(.*\)  # (.+)$", example, flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == shown
    assert_same(load_folder("my-music"), load_folder("my-music-parquet"))


@pytest.fixture
def dataset(tmp_path: Path) -> MusicDataset:
    plays = "user_id,item_id,weight,timestamp\nu,a,0.1,1.5\nv,b,1e300,2024-01-31\n"
    return load_folder(make(tmp_path / "source", interactions=plays))


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_what_is_saved_loads_the_same(dataset: MusicDataset, tmp_path: Path, format: Any) -> None:
    (tmp_path / "source" / "a.wav").write_bytes(b"sound")
    folder = save_folder(dataset, tmp_path / "new" / "saved", format)
    assert_same(load_folder(folder), dataset)
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.wav", f"audio.{format}", f"interactions.{format}", f"items.{format}",
    ]  # fmt: skip
    assert (folder / "a.wav").read_bytes() == b"sound"


def test_csv_is_as_a_person_would_write_it(dataset: MusicDataset, tmp_path: Path) -> None:
    folder = save_folder(dataset.take_interactions([0]), tmp_path / "saved")
    assert (folder / "items.csv").read_text() == ITEMS
    assert (folder / "interactions.csv").read_text() == (
        "user_id,item_id,weight,timestamp\nu,a,0.1,1970-01-01T00:00:01.500000000\n"
    )


def test_no_rows(dataset: MusicDataset, tmp_path: Path) -> None:
    empty = dataset.drop_items(["a"]).take_interactions([])
    for format in folder_module.FORMATS:
        assert_same(load_folder(save_folder(empty, tmp_path / format, format)), empty)


def test_a_folder_of_recordings_becomes_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "x.wav").touch()
    audio = pd.DataFrame({"item_id": ["a"], "path": ["x.wav"]})
    dataset = MusicDataset(pd.read_csv(make(tmp_path / "t") / "items.csv"), audio, root=tmp_path)
    assert_same(load_folder(save_folder(dataset, tmp_path)), dataset)


def test_recordings_without_a_root_are_gathered(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    places = [tmp_path / "1" / "x.wav", tmp_path / "2" / "x.wav", folder / "audio" / "x-2.wav"]
    for place in places:
        place.parent.mkdir(parents=True)
        place.write_text(str(place))
    rows = [0, 1, 2, 1]
    items = load_folder(make(tmp_path / "t")).items
    audio = pd.DataFrame({"item_id": "a", "path": [places[row] for row in rows]})
    saved = load_folder(save_folder(MusicDataset(items, audio), folder))
    assert list(saved.audio["path"]) == [
        "audio/x.wav", "audio/x-3.wav", "audio/x-2.wav", "audio/x-3.wav",
    ]  # fmt: skip
    texts = [path.read_text() for path in saved.recording_paths()]
    assert texts == [str(places[row]) for row in rows]


def test_a_data_set_is_never_written_over(dataset: MusicDataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"source/items.csv exists; save into a folder that"):
        save_folder(dataset, tmp_path / "source", "parquet")
    assert_same(load_folder(tmp_path / "source"), dataset)


def test_another_recording_is_never_written_over(dataset: MusicDataset, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.wav").write_bytes(b"another")
    with pytest.raises(DataError, match=r"other/a\.wav exists and is another recording"):
        save_folder(dataset, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["a.wav"]


@pytest.mark.parametrize("failing", ["audio", "interactions"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(
    dataset: MusicDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
    error: BaseException,
) -> None:
    write_table = folder_module.write_table

    def fail(table: pd.DataFrame, path: Path) -> None:
        if path.stem == failing:
            raise error
        write_table(table, path)

    monkeypatch.setattr(folder_module, "write_table", fail)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else DataError
    with pytest.raises(expected, match=r"No space left|"):
        save_folder(dataset, tmp_path / "saved")
    assert list((tmp_path / "saved").rglob("*")) == []
    monkeypatch.undo()
    assert_same(load_folder(save_folder(dataset, tmp_path / "saved")), dataset)


@pytest.mark.parametrize("case", ["missing", "no bytes", "header alone"])
def test_nobody_has_played_anything(
    dataset: MusicDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    folder = save_folder(dataset, tmp_path / "saved")
    plays = folder / "interactions.csv"
    if case == "missing":
        plays.unlink()
    else:
        plays.write_text("" if case == "no bytes" else "user_id,item_id,weight\n")
    loaded = load_folder(folder)
    assert loaded.interactions.empty
    assert_same(loaded, MusicDataset(dataset.items, dataset.audio, root=folder))
    said = {"missing": f"{folder} has no interactions.csv", "no bytes": f"{plays} is empty"}
    if case in said:
        assert f"{said[case]}: nobody has played anything" in caplog.text


@pytest.mark.parametrize(
    "name", ["Interactions.csv", "interactions.xlsx", "interaction.csv", "interactions"]
)
def test_plays_under_another_name_are_not_overlooked(
    dataset: MusicDataset, tmp_path: Path, name: str
) -> None:
    folder = save_folder(dataset, tmp_path / "saved")
    (folder / "interactions.csv").rename(folder / name)
    assert f"but '{name}': rename it if it holds the plays" in message_of(folder)


@pytest.mark.slow
def test_a_kill_leaves_nothing_that_loads(dataset: MusicDataset, tmp_path: Path) -> None:
    script = """
import os, sys
from datasets import folder
write_table = folder.write_table
folder.write_table = lambda table, path: (
    os._exit(9) if path.stem == "items" else write_table(table, path)
)
folder.save_folder(folder.load_folder(sys.argv[1]), sys.argv[2])
"""
    arguments = [str(tmp_path / "source"), str(tmp_path / "saved")]
    killed = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
    assert killed.returncode == 9
    assert (tmp_path / "saved" / "interactions.csv").exists()
    assert "has no items.csv" in message_of(tmp_path / "saved")
    assert_same(load_folder(tmp_path / "source"), dataset)


def test_bad_arguments(dataset: MusicDataset, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"format 'xlsx': csv or parquet is expected"):
        save_folder(dataset, tmp_path / "saved", "xlsx")  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file is not a folder"):
        save_folder(dataset, tmp_path / "file")
    with pytest.raises(DataError, match="cannot be written"):
        save_folder(dataset, tmp_path / "file" / "below")


def test_a_recording_that_is_gone(dataset: MusicDataset, tmp_path: Path) -> None:
    (tmp_path / "source" / "a.wav").unlink()
    with pytest.raises(DataError, match=r"cannot be written: .*a\.wav"):
        save_folder(dataset, tmp_path / "saved")


# Everything that a CSV or Parquet writer has ever tripped over, and anything else.
nasty = st.one_of(
    st.sampled_from(
        ["NA", "nan", "null", "None", "007", "1e5", "-0", "true", "日本", " x ", "\\N"]
    ),
    st.sampled_from(
        ['"', '""', "'", ",", ";", "\t", "#", "\\", "\ufeff", "\u2028", "\x85", "\x1a"]
    ),
    st.sampled_from(["\r", "\n", "\r\n", "a\rb"]),
)
text = st.one_of(nasty, st.text(max_size=8)).filter(lambda value: "\0" not in value)
identifier = text.filter(lambda value: value != "" and not value.isspace())
weight = st.floats(min_value=0, allow_infinity=False, allow_nan=False)
moment = st.integers(-9 * 10**18, 9 * 10**18).map(lambda ns: np.datetime64(ns, "ns"))


@st.composite
def music(draw: st.DrawFn) -> MusicDataset:
    ids = draw(st.lists(identifier, min_size=1, max_size=5, unique=True))
    standard = {"item_id", "title", "artist", "album", "genre"}
    tags = draw(st.lists(identifier, max_size=2, unique_by=str.strip))
    tags = [tag for tag in tags if tag.strip() not in standard]

    def column(values: st.SearchStrategy[Any], size: int) -> pd.Series:  # type: ignore[type-arg]
        listed = draw(st.lists(values, min_size=size, max_size=size))
        return pd.Series(listed, dtype=object)

    texts = {name: column(text, len(ids)) for name in ["title", "artist", "album", "genre", *tags]}
    size = draw(st.integers(0, 6))
    plays = {
        "user_id": column(identifier, size),
        "item_id": column(st.sampled_from(ids), size),
        "weight": column(weight, size),
    }
    if draw(st.booleans()):
        plays["timestamp"] = column(moment, size)
    return MusicDataset(
        pd.DataFrame({"item_id": pd.Series(ids, dtype=object), **texts}),
        interactions=pd.DataFrame(plays),
    )


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "parquet"])
@settings(max_examples=times(20, 60))
@given(dataset=music())
def test_any_data_set_survives_saving(
    tmp_path_factory: pytest.TempPathFactory, format: Any, dataset: MusicDataset
) -> None:
    folder = save_folder(dataset, tmp_path_factory.mktemp("any") / "saved", format)
    assert_same(load_folder(folder), dataset)


def test_a_parquet_table_may_be_a_folder_of_parts(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,artist,album,genre\ns1,,,,\ns2,,,,\n")
    parts = tmp_path / "interactions.parquet"
    parts.mkdir()
    for number, item in enumerate(("s1", "s2")):
        frame = pd.DataFrame({"user_id": ["u"], "item_id": [item], "weight": [float(number + 1)]})
        frame.to_parquet(parts / f"part-{number}.snappy.parquet")
    (parts / "_SUCCESS").touch()
    assert load_folder(tmp_path).interactions["weight"].tolist() == [1.0, 2.0]
    (parts / "part-1.snappy.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part-1\.snappy\.parquet is not a Parquet file"):
        load_folder(tmp_path)
    for part in parts.glob("part*"):
        part.unlink()
    with pytest.raises(DataError, match="no Parquet file is in it"):
        load_folder(tmp_path)
