"""MusicDataset in memory: what the constructor accepts, refuses, and what is derived from it."""

import dataclasses
import datetime
import decimal
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataError, InvalidArgumentError, UnknownItemError
from datasets.music import MusicDataset


def item_table(**changes: Any) -> pd.DataFrame:
    columns = {
        "item_id": ["a", "b", "c"],
        "title": ["Alpha", "Beta", ""],
        "artist": ["Ann", "Ann", ""],
        "album": ["", "", ""],
        "genre": ["jazz", "", "rock"],
        "mood": ["calm", "", "loud"],
    }
    return pd.DataFrame({**columns, **changes})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("1.wav", "2.wav", "3.wav"):
        (tmp_path / name).write_bytes(b"not looked at")
    return tmp_path


@pytest.fixture
def dataset(root: Path) -> MusicDataset:
    audio = pd.DataFrame(
        {
            "item_id": ["c", "a", "b"],
            "path": ["1.wav", "2.wav", "3.wav"],
            "title": ["", "", ""],
            "genre": ["", "blues", ""],
        }
    )
    interactions = pd.DataFrame(
        {
            "user_id": ["u", "u", "v", "v", "v"],
            "item_id": ["a", "b", "a", "a", "c"],
            "weight": [1, 2, 3, 4, 0],
            "timestamp": [10, 20, 30, 40, 50],
        }
    )
    return MusicDataset(item_table(), audio, interactions, root)


def test_tables_have_the_documented_columns_and_types(dataset: MusicDataset) -> None:
    assert list(dataset.items) == ["item_id", "title", "artist", "album", "genre", "mood"]
    assert list(dataset.audio) == ["item_id", "path", "title", "genre"]
    assert list(dataset.interactions) == ["user_id", "item_id", "weight", "timestamp"]
    assert dataset.interactions["weight"].dtype == np.float64
    assert dataset.interactions["timestamp"].dtype == np.dtype("datetime64[ns]")
    for table in (dataset.items, dataset.audio, dataset.interactions[["user_id", "item_id"]]):
        for name in table:
            assert table[name].dtype == object
            assert {type(value) for value in table[name]} == {str}
    assert dataset.tags == ["mood"]


def test_input_frames_are_copied_and_their_index_does_not_matter() -> None:
    items = item_table().set_axis([7, 7, 9])
    interactions = pd.DataFrame({"user_id": ["u"], "item_id": ["b"], "weight": [2.0]}, index=["x"])
    dataset = MusicDataset(items, interactions=interactions)
    items.iloc[0, 0] = "changed"
    interactions.iloc[0, 2] = 99.0
    assert list(dataset.items["item_id"]) == ["a", "b", "c"]
    assert list(dataset.interactions["weight"]) == [2.0]
    assert dataset.items.index.equals(pd.RangeIndex(3))
    assert dataset.interactions.index.equals(pd.RangeIndex(1))


def test_audio_and_interactions_may_be_missing() -> None:
    dataset = MusicDataset(item_table())
    assert list(dataset.audio) == ["item_id", "path", "title", "genre"]
    assert list(dataset.interactions) == ["user_id", "item_id", "weight"]
    assert dataset.interactions["weight"].dtype == np.float64
    assert dataset.recording_paths() == []
    assert len(dataset.recording_labels()) == len(dataset.recording_artists()) == 0
    assert dataset.summary()["density"] == 0.0


def test_it_is_frozen(dataset: MusicDataset) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.root = None  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([7, 8, 10**18 + 1], ["7", "8", "1000000000000000001"]),
        (["007", "NA", "null"], ["007", "NA", "null"]),
        ([" a", "a", "a "], [" a", "a", "a "]),
        (pd.Categorical(["x", "z", "y"], categories=["z", "y", "x", "q"]), ["x", "z", "y"]),
        (pd.array([1, 2, 3], dtype="Int64"), ["1", "2", "3"]),
        (np.array([1, 2, 3], dtype=np.uint8), ["1", "2", "3"]),
        (pd.array(["x", "y", "z"], dtype="string"), ["x", "y", "z"]),
    ],
)
def test_ids_stay_what_they_are(ids: Any, expected: list[str]) -> None:
    assert list(MusicDataset(item_table(item_id=ids)).items["item_id"]) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1999.0, None, 2004.5], ["1999", "", "2004.5"]),
        ([True, False, None], ["true", "false", ""]),
        ([1, True, 1.0], ["1", "true", "1"]),
        ([None, np.nan, pd.NA], ["", "", ""]),
        (["  ", "\t", "NA"], ["", "", "NA"]),
        ([datetime.date(2024, 1, 31), pd.NaT, "x"], ["2024-01-31", "", "x"]),
        (pd.Categorical(["loud", None, "calm"]), ["loud", "", "calm"]),
        (pd.Categorical([3, None, 1]), ["3", "", "1"]),
    ],
)
def test_tags_of_any_type_become_text(values: list[Any], expected: list[str]) -> None:
    column = pd.Series(values, dtype=getattr(values, "dtype", object))
    assert list(MusicDataset(item_table(mood=column)).items["mood"]) == expected


def test_categories_of_any_number_keep_their_missing_values() -> None:
    # 127 categories fill the 8-bit codes of pandas to the last.
    ids = [f"i{number}" for number in range(130)]
    moods = pd.Categorical([*(f"m{number}" for number in range(127)), None, None, "m0"])
    empty = {name: [""] * 130 for name in ("title", "artist", "album", "genre")}
    dataset = MusicDataset(pd.DataFrame({"item_id": ids, **empty, "mood": moods}))
    assert list(dataset.items["mood"])[-4:] == ["m126", "", "", "m0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item_id": ["a", "b", "a"]}, r"items, row 3, column 'item_id': 'a' .* in row 1"),
        ({"item_id": [1, 2, "1"]}, r"items, row 3, column 'item_id': '1' .* in row 1"),
        ({"item_id": ["a", None, "c"]}, r"items, row 2, column 'item_id': is blank$"),
        ({"item_id": ["a", " ", ""]}, r"row 2, column 'item_id': is blank \(1 more such row\)"),
        ({"item_id": [1.0, 2.0, 3.0]}, r"row 1, column 'item_id': 1.0 is of type float"),
        ({"item_id": [1, 2, True]}, r"row 3, column 'item_id': True is of type bool"),
        ({"item_id": ["a", b"b", "c"]}, r"row 2, column 'item_id': b'b' is of type bytes"),
        ({"item_id": pd.Categorical(["a", None, "c"])}, r"row 2, column 'item_id': is blank"),
        ({"title": ["x", ["y"], "z"]}, r"row 2, column 'title': is of type list"),
        ({"title": ["x", ("y", ["z"]), "z"]}, r"row 2, column 'title': is of type tuple"),
        ({"title": ["x", "y\0", "z"]}, r"row 2, column 'title': 'y\\x00' holds a NUL"),
        (
            {"title": pd.Series(["x", "\udc80", "z"], dtype=object)},
            r"row 2, column 'title': .* not valid Unicode",
        ),
        ({" mood ": ["", "", ""]}, r"items: two columns are named 'mood'"),
        ({"": ["", "", ""]}, r"items: column 7 has no name"),
        ({7: ["", "", ""]}, r"items: column 7 is named 7, which is no text"),
    ],
)
def test_bad_items_are_named(changes: dict[Any, Any], message: str) -> None:
    table = item_table()
    for name, values in changes.items():
        table[name] = values
    with pytest.raises(DataError, match=message) as caught:
        MusicDataset(table)
    assert "\n" not in str(caught.value)


def test_missing_columns_are_named_with_those_that_are_there() -> None:
    table = item_table().rename(columns={"artist": "Band"})
    with pytest.raises(DataError, match=r"items: column 'artist' missing; there are: .*'Band'"):
        MusicDataset(table)


def test_no_items_is_an_error() -> None:
    with pytest.raises(DataError, match="items has no items"):
        MusicDataset(item_table().iloc[:0])


def test_a_table_must_be_a_frame() -> None:
    with pytest.raises(DataError, match="items: a DataFrame is expected, not list"):
        MusicDataset([])  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weight", "problem"),
    [
        (-1, "-1 is negative"),
        (-0.5, "-0.5 is negative"),
        (np.nan, "is missing or NaN"),
        (None, "is missing or NaN"),
        (np.inf, "is infinite"),
        (decimal.Decimal("1e400"), "is infinite"),
        ("many", "'many' is not a number"),
        ("1_000", "'1_000' is not a number"),
        ("٣", "'٣' is not a number"),
        ("1,5", "'1,5' is not a number; write decimals with a point"),
        ("", "is blank"),
        ("nan", "is missing or NaN"),
        ("-inf", "is infinite"),
        (True, "True is a truth value"),
        (b"1", "b'1' is not a number"),
        ([1], "is of type list"),
    ],
)
@pytest.mark.parametrize("kind", [object, None])
def test_bad_weights_are_named(weight: Any, problem: str, kind: Any) -> None:
    weights = pd.Series([1, weight, 2], dtype=kind)
    if kind is None and weights.dtype == object:
        weights = pd.Series([weight], dtype=object).reindex([1, 0, 2], fill_value=1)
    table = pd.DataFrame({"user_id": "u", "item_id": ["a", "b", "c"], "weight": weights.array})
    with pytest.raises(DataError, match=f"interactions, row 2, column 'weight': {problem}"):
        MusicDataset(item_table(), interactions=table)


def test_whole_numbers_beyond_any_float_are_refused() -> None:
    weight = pd.Series([10**400], dtype=object)
    table = pd.DataFrame({"user_id": "u", "item_id": ["a"], "weight": weight})
    with pytest.raises(DataError, match="row 1, column 'weight': is infinite"):
        MusicDataset(item_table(), interactions=table)


def test_complex_weights_are_refused() -> None:
    table = pd.DataFrame({"user_id": "u", "item_id": ["a"], "weight": [1 + 2j]})
    with pytest.raises(DataError, match=r"row 1, column 'weight': \(1\+2j\) is not a number"):
        MusicDataset(item_table(), interactions=table)


@pytest.mark.parametrize("weight", ["1e3", " 1000 ", "+1000.", 1000, np.float32(1000), "1000.0"])
def test_weights_are_read_in_any_usual_form(weight: Any) -> None:
    table = pd.DataFrame({"user_id": ["u"], "item_id": ["a"], "weight": pd.Series([weight])})
    assert list(MusicDataset(item_table(), interactions=table).interactions["weight"]) == [1000.0]


def test_minus_zero_is_zero() -> None:
    table = pd.DataFrame({"user_id": "u", "item_id": ["a", "b"], "weight": ["-0", "-0.0"]})
    weights = MusicDataset(item_table(), interactions=table).interactions["weight"]
    assert not np.signbit(weights).any()


def test_interactions_with_unknown_items_are_named() -> None:
    table = pd.DataFrame({"user_id": "u", "item_id": ["a", "x", "y", "x"], "weight": 1.0})
    message = r"interactions, row 2, column 'item_id': 'x' is not among the items \(2 more such"
    with pytest.raises(DataError, match=message):
        MusicDataset(item_table(), interactions=table)


class TestRecordings:
    def check(self, path: Any, root: Path | None) -> MusicDataset:
        audio = pd.DataFrame({"item_id": ["a"], "path": [path]})
        return MusicDataset(item_table(), audio, root=root)

    @pytest.mark.parametrize("path", ["1.wav", "./1.wav", "deep/../1.wav"])
    def test_a_path_inside_the_folder_is_fine(self, root: Path, path: str) -> None:
        (root / "deep").mkdir()
        dataset = self.check(path, root)
        assert dataset.audio["path"][0] == path
        assert dataset.recording_paths()[0].samefile(root / "1.wav")
        assert dataset.recording_paths()[0].is_absolute()

    def test_a_path_object_is_fine(self, root: Path) -> None:
        assert self.check(Path("1.wav"), root).audio["path"][0] == "1.wav"

    @pytest.mark.parametrize(
        ("path", "problem"),
        [
            ("../x.wav", r"'../x.wav' leaves the data set's folder"),
            ("a/../../x.wav", r"leaves the data set's folder"),
            ("/etc/hostname", r"'/etc/hostname' is absolute"),
            ("none.wav", r"'none.wav' does not exist"),
            ("1.wav/x", r"'1.wav/x' does not exist"),
            (".", r"'.' is a directory"),
            ("n" * 300, r"cannot be reached: File name too long"),
            ("link-out.wav", r"'link-out.wav' is a link that leaves the data set's folder"),
            ("folder-out/x.wav", r"is a link that leaves the data set's folder"),
            ("loop.wav", r"'loop.wav' cannot be reached"),
            ("pipe.wav", r"'pipe.wav' is not a regular file"),
            ("", r"is blank"),
            (None, r"is blank"),
        ],
    )
    def test_any_other_path_is_named(
        self, root: Path, tmp_path_factory: pytest.TempPathFactory, path: Any, problem: str
    ) -> None:
        outside = tmp_path_factory.mktemp("outside")
        (outside / "x.wav").touch()
        (root / "link-out.wav").symlink_to(outside / "x.wav")
        (root / "folder-out").symlink_to(outside)
        (root / "loop.wav").symlink_to("loop.wav")
        os.mkfifo(root / "pipe.wav")
        with pytest.raises(DataError, match=rf"audio, row 1, column 'path': .*{problem}"):
            self.check(path, root)

    def test_links_inside_the_folder_are_fine(self, root: Path) -> None:
        (root / "same.wav").symlink_to("1.wav")
        (root / "here").symlink_to(".")
        assert self.check("same.wav", root).recording_paths() == [root / "same.wav"]
        assert self.check("here/1.wav", root).recording_paths() == [root / "here" / "1.wav"]

    def test_the_folder_itself_may_be_a_link(self, root: Path) -> None:
        link = root.with_name(f"{root.name}-link")
        link.symlink_to(root)
        assert self.check("1.wav", link).recording_paths() == [link / "1.wav"]

    def test_without_a_root_paths_are_absolute(self, root: Path) -> None:
        assert self.check(root / "1.wav", None).recording_paths() == [root / "1.wav"]
        with pytest.raises(DataError, match=r"'1.wav' is relative, but the data set has no root"):
            self.check("1.wav", None)
        with pytest.raises(DataError, match="does not exist"):
            self.check(root / "none.wav", None)

    def test_recordings_of_unknown_items_are_named(self, root: Path) -> None:
        audio = pd.DataFrame({"item_id": ["a", "x"], "path": ["1.wav", "2.wav"]})
        with pytest.raises(DataError, match="audio, row 2, column 'item_id': 'x' is not among"):
            MusicDataset(item_table(), audio, root=root)

    def test_labels_are_the_recordings_own_or_the_items(self, dataset: MusicDataset) -> None:
        assert list(dataset.recording_labels()) == ["rock", "blues", ""]
        assert list(dataset.recording_labels("mood")) == ["loud", "calm", ""]
        assert list(dataset.recording_labels("artist")) == ["", "Ann", "Ann"]
        with pytest.raises(
            InvalidArgumentError, match=r"no tag 'tempo'; there are: title, .* mood"
        ):
            dataset.recording_labels("tempo")
        with pytest.raises(InvalidArgumentError, match="no tag 'item_id'"):
            dataset.recording_labels("item_id")

    def test_an_unknown_artist_is_a_group_of_its_own(self, dataset: MusicDataset) -> None:
        assert list(dataset.recording_artists()) == ["c", "Ann", "Ann"]


class TestDerived:
    def test_take_interactions(self, dataset: MusicDataset) -> None:
        some = dataset.take_interactions(np.array([4, 0]))
        assert list(some.interactions["user_id"]) == ["v", "u"]
        assert list(some.interactions["item_id"]) == ["c", "a"]
        assert some.interactions.index.equals(pd.RangeIndex(2))
        assert some.items is dataset.items
        assert some.audio is dataset.audio
        assert some.root == dataset.root
        assert len(dataset.take_interactions([]).interactions) == 0

    @pytest.mark.parametrize("rows", [[5], [-1], [0.5], [True, False], [[0]], 3, ["a"]])
    def test_positions_that_are_none(self, dataset: MusicDataset, rows: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="rows must"):
            dataset.take_interactions(rows)

    def test_take_items(self, dataset: MusicDataset) -> None:
        part = dataset.take_items(["c", "a", "a"])
        assert list(part.items["item_id"]) == ["a", "c"]
        assert list(part.audio["path"]) == ["1.wav", "2.wav"]
        assert list(part.interactions["weight"]) == [1.0, 3.0, 4.0, 0.0]
        for table in (part.items, part.audio, part.interactions):
            assert table.index.equals(pd.RangeIndex(len(table)))

    def test_drop_items_is_the_rest(self, dataset: MusicDataset) -> None:
        part = dataset.drop_items(iter(["c", "a"]))
        assert part.digest() == dataset.take_items(["b"]).digest()
        assert len(dataset.drop_items(["a", "b", "c"]).items) == 0
        assert dataset.drop_items([]).digest() == dataset.digest()

    def test_unknown_items(self, dataset: MusicDataset) -> None:
        with pytest.raises(UnknownItemError, match="no item 'x' in the data set"):
            dataset.take_items(["a", "x"])
        with pytest.raises(UnknownItemError, match="no item 'x'"):
            dataset.drop_items(["x"])
        with pytest.raises(InvalidArgumentError, match="not 'abc'"):
            dataset.take_items("abc")

    def test_nothing_is_looked_for_again(self, dataset: MusicDataset, root: Path) -> None:
        for path in root.iterdir():
            path.unlink()
        assert len(dataset.take_items(["a"]).recording_paths()) == 1


class TestDigest:
    def test_it_is_of_the_content_only(self, dataset: MusicDataset, tmp_path: Path) -> None:
        again = MusicDataset(dataset.items, dataset.audio, dataset.interactions, dataset.root)
        moved = tmp_path / "moved"
        moved.mkdir()
        for name in ("1.wav", "2.wav", "3.wav"):
            (moved / name).write_bytes(b"others")
        elsewhere = MusicDataset(dataset.items, dataset.audio, dataset.interactions, moved)
        assert again.digest() == elsewhere.digest() == dataset.digest()
        assert len(bytes.fromhex(dataset.digest())) == 32

    def test_every_value_and_every_boundary_counts(self) -> None:
        def digest(items: pd.DataFrame, **interactions: Any) -> str:
            columns = {"user_id": ["u", "u"], "item_id": ["a", "b"], "weight": [1.0, 2.0]}
            frame = pd.DataFrame({**columns, **interactions})
            return MusicDataset(items, interactions=frame).digest()

        digests = [
            digest(item_table()),
            digest(item_table(title=["Alph", "aBeta", ""])),
            digest(item_table(title=["", "Alpha", "Beta"])),
            digest(item_table().rename(columns={"mood": "moods"})),
            digest(item_table(tempo="")),
            digest(item_table().iloc[::-1]),
            digest(item_table(), weight=[2.0, 1.0]),
            digest(item_table(), user_id=["u", "v"]),
            digest(item_table(), timestamp=[1, 2]),
            digest(item_table(), timestamp=[2, 1]),
        ]
        assert len(set(digests)) == len(digests)


def test_summary_counts_by_hand(dataset: MusicDataset) -> None:
    assert dataset.summary() == {
        "n_items": 3,
        "n_users": 2,
        "n_interactions": 5,
        "n_recordings": 3,
        "n_items_with_audio": 3,
        "n_items_with_listeners": 3,
        "n_artists": 1,
        "n_genres": 2,
        "density": 4 / 6,  # v played a twice
    }


def test_repr_is_one_short_line(dataset: MusicDataset, root: Path) -> None:
    assert repr(dataset) == (
        f"<MusicDataset in '{root}': 3 items, 3 recordings of 3 of them, 5 interactions of 2 users>"
    )
    assert repr(MusicDataset(item_table())).startswith("<MusicDataset: 3 items, 0 recordings")
