"""Tables of any library, and ids in columns where an index is meant and the other way round."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from datasets.errors import DataError, DataWarning
from datasets.music import MusicDataset
from datasets.tables.frames import as_frame, embedding_frame, name_key

TEXTS = {"title": ["One", "Two"], "artist": "", "album": "", "genre": "jazz"}


def items(ids: Any = ("a", "b"), **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"item_id": list(ids), **TEXTS, **more})


def plays(**changes: Any) -> pd.DataFrame:
    columns = {"user_id": ["u", "v"], "item_id": ["a", "b"], "weight": [1.0, 2.0], **changes}
    return pd.DataFrame(columns)


class Stream:
    """A table that offers Arrow's stream and nothing else but the names of its columns."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._table = pa.Table.from_pandas(frame, preserve_index=False)
        self.columns = self._table.column_names

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class Interchange:
    """A table that offers the dataframe interchange protocol and nothing else."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._table = pa.Table.from_pandas(frame, preserve_index=False)
        self.columns = self._table.column_names

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> Any:
        return self._table.__dataframe__(nan_as_null, allow_copy)


def to_polars(frame: pd.DataFrame) -> Any:
    return pytest.importorskip("polars").from_pandas(frame)


def to_batch(frame: pd.DataFrame) -> Any:
    return pa.RecordBatch.from_pandas(frame, preserve_index=False)


def to_arrow(frame: pd.DataFrame) -> Any:
    return pa.Table.from_pandas(frame, preserve_index=False)


MAKERS: list[Callable[[pd.DataFrame], Any]] = [
    to_polars, to_arrow, to_batch, Stream, Interchange,
    lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    lambda frame: frame.convert_dtypes(),
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_tables_of_other_libraries_are_taken(make: Callable[[pd.DataFrame], Any]) -> None:
    times = [1706725805, 1706725806]
    expected = MusicDataset(items(year=[1959, 1960]), None, plays(timestamp=times))
    dataset = MusicDataset(make(items(year=[1959, 1960])), None, make(plays(timestamp=times)))
    assert dataset.digest() == expected.digest()


@pytest.mark.parametrize("make", MAKERS)
def test_whole_numbers_stay_exact_beside_missing_ones(
    make: Callable[[pd.DataFrame], Any],
) -> None:
    large = 2**60 + 1
    ids = pd.Series([large, 7], dtype="Int64")
    year = pd.Series([None, 1960], dtype="Int64")
    dataset = MusicDataset(make(items(ids, year=year)))
    assert dataset.items["item_id"].tolist() == [str(large), "7"]
    assert dataset.items["year"].tolist() == ["", "1960"]


def test_types_of_polars() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(items()).with_columns(
        pl.col("genre").cast(pl.Categorical),
        pl.col("artist").cast(pl.Enum(["", "Ann"])),
        mood=pl.lit(None),
        key=pl.Series([None, "C"]),
    )
    dataset = MusicDataset(frame, None, pl.DataFrame(plays(weight=[1, 2])))
    assert dataset.items["genre"].tolist() == ["jazz", "jazz"]
    assert dataset.items["mood"].tolist() == ["", ""]
    assert dataset.interactions["weight"].tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match=r"row 1, column 'item_id': 1\.0 is of type float"):
        MusicDataset(pl.DataFrame(items([1.0, 2.0])))
    with pytest.raises(DataError, match=r"row 2, column 'item_id': is blank"):
        MusicDataset(pl.DataFrame(items(["a", None])))
    with pytest.raises(DataError, match=r"row 1, column 'item_id': .* is of type|as a table"):
        MusicDataset(pl.DataFrame(items([["a"], ["b"]])))
    with pytest.raises(DataError, match=r"not LazyFrame; give what its \.collect\(\) returns"):
        MusicDataset(pl.DataFrame(items()).lazy())


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        ({"item_id": ["a"]}, "not dict; give pandas.DataFrame"),
        ([{"item_id": "a"}], "not list; give pandas.DataFrame"),
        (np.array([["a"]]), "not ndarray; give pandas.DataFrame"),
        (pd.Series(["a"], name="item_id"), r"not Series; give its \.reset_index\(\)"),
        ("items.csv", "not str$"),
        (None, "not NoneType$"),
        (pd.DataFrame, "not type$"),
    ],
)
def test_what_is_no_table_is_an_error_that_says_what_to_do(table: Any, hint: str) -> None:
    with pytest.raises(DataError, match=f"items: a DataFrame is expected, {hint}"):
        MusicDataset(table)


def test_a_table_that_cannot_be_read_is_an_error_that_names_its_library() -> None:
    class Broken(Stream):
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            raise RuntimeError("read already\nsomewhere")

    with pytest.raises(DataError) as raised:
        MusicDataset(Broken(items()))  # type: ignore[arg-type]
    assert str(raised.value).endswith("Broken cannot be read as a table: read already")


# ------------------------------------------------------------------ index and columns


def test_ids_in_the_index_are_columns() -> None:
    expected = MusicDataset(items(), None, plays())
    by_pair = plays().set_index(["user_id", "item_id"])
    for table, other in (
        (items().set_index("item_id"), by_pair),
        (items().set_index("item_id", drop=False), plays().set_index("user_id")),
        (items().set_index(["item_id", "title"]), plays().set_index("item_id", append=True)),
    ):
        found = MusicDataset(table, None, other)
        assert found.items[expected.items.columns].equals(expected.items)
        assert found.interactions.equals(expected.interactions)
    times = plays(timestamp=pd.to_datetime(["2024-01-31", "2024-02-01"]))
    found = MusicDataset(items(), None, times.set_index("timestamp"))
    assert found.interactions["timestamp"].tolist() == times["timestamp"].tolist()


def test_an_index_that_says_otherwise_than_the_column_is_an_error() -> None:
    table = items().set_index(pd.Index(["b", "a"], name="item_id"))
    with pytest.raises(DataError, match="'item_id' is a column and in the index, and they differ"):
        MusicDataset(table)


def test_ids_in_an_index_without_a_name_get_a_hint() -> None:
    table = items().set_index("item_id").rename_axis(None)
    with pytest.raises(DataError, match=r"column 'item_id' missing; .*Name it 'item_id'"):
        MusicDataset(table)


def vectors(**more: Any) -> pd.DataFrame:
    return pd.DataFrame({**more, "x": [1.0, 2.0], "y": [0, 1]})


@pytest.mark.parametrize(
    "table",
    [
        vectors().set_index(pd.Index(["a", "b"])),
        vectors(item_id=["a", "b"]),
        vectors(item_id=["a", "b"]).set_index(pd.Index([5, 5])),
        vectors(**{"Item ID": ["a", "b"]}),
        vectors(item_id=["a", "b"]).set_index("item_id"),
        vectors().set_index(pd.MultiIndex.from_tuples([("a",), ("b",)])),
        pa.Table.from_pandas(vectors(item_id=["a", "b"])),
    ],
)
@pytest.mark.filterwarnings("ignore::datasets.errors.DataWarning")
def test_embeddings_by_index_or_column(table: Any) -> None:
    found = embedding_frame(table)
    assert found.index.tolist() == ["a", "b"]
    assert found.to_numpy(np.float32).tolist() == [[1.0, 0.0], [2.0, 1.0]]


def test_embeddings_of_numbered_items() -> None:
    ids = pd.Series([7, 2**60 + 1], dtype="Int64")
    for table in (vectors(item_id=ids), vectors().set_index(pd.Index(ids))):
        assert embedding_frame(table).index.tolist() == ["7", str(2**60 + 1)]
    whole = vectors().set_index(pd.Index(["a", "b"], dtype=object))
    assert embedding_frame(whole) is whole


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (vectors().set_index(pd.Index([1.0, 2.0])), r"row 1, index: 1\.0 is of type float"),
        (vectors(item_id=[1.0, None]), r"row 2, column 'item_id': is missing, which has made"),
        (vectors().set_index(pd.Index(["a", None])), "row 2, index: is blank"),
        (vectors().set_index(pd.Index([True, False])), "row 1, index: True is of type bool"),
        (
            vectors().set_index(pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])),
            "the index has 2 levels",
        ),
        (
            vectors(item_id=["a", "b"]).set_index(pd.Index(["a", "b"], name="item_id")),
            "item_id is a column and the name of the index",
        ),
        (
            pa.Table.from_pandas(vectors(id=["a", "b"])),
            "a pyarrow Table has no index, .* 'item_id' is needed",
        ),
        ([[1.0]], "must be a DataFrame .*, not list; give pandas"),
        (np.eye(2), "must be a DataFrame .*, not ndarray"),
        ({"a": [1.0]}, "must be a DataFrame .*, not dict"),
    ],
)
def test_embeddings_without_usable_ids(table: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^embeddings.*{message}") as raised:
        embedding_frame(table)
    assert "\n" not in str(raised.value)


# ------------------------------------------------------------------ names of columns


@pytest.mark.parametrize("name", ["User ID", "userId", "USER_ID", " user id ", "User-Id", "userid"])
def test_columns_that_are_spelt_otherwise(name: str) -> None:
    with pytest.warns(DataWarning, match=r"interactions: column .* is read as 'user_id'"):
        found = MusicDataset(items(), None, plays().rename(columns={"user_id": name}))
    assert found.interactions["user_id"].tolist() == ["u", "v"]


def test_a_column_with_the_exact_name_comes_first() -> None:
    found = MusicDataset(items(**{"Genre": ["x", "y"]}))
    assert found.tags == ["Genre"]
    with pytest.raises(DataError, match="'Item ID' and 'itemId' could both be 'item_id'"):
        MusicDataset(items(itemId=["x", "y"]).rename(columns={"item_id": "Item ID"}))
    with pytest.raises(DataError, match="two columns are named 'mood'"):
        MusicDataset(items(**{"mood": "x", " mood": "y"}))


def test_optional_columns_are_recognised_too() -> None:
    with pytest.warns(DataWarning, match="'Timestamp' is read as 'timestamp'"):
        found = MusicDataset(items(), None, plays(Timestamp=[10, 20]))
    assert "timestamp" in found.interactions


def test_keys_of_names() -> None:
    assert name_key("Ｕser ＩＤ") == "userid"
    assert name_key("title") != name_key("titles")


# ------------------------------------------------------------------ gaps


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_whole_numbers_that_a_gap_has_made_floats(column: str) -> None:
    table = plays(**{column: pd.Series([1.0, None])})
    expected = f"interactions, row 2, column '{column}': is missing, which has made floats of"
    with pytest.raises(DataError, match=expected):
        MusicDataset(items(), None, table)
    left = plays(**{column: [1, 2]})
    joined = left.merge(pd.DataFrame({"w": [1, 2, 3]}), how="right", left_on=column, right_on="w")
    joined = joined.assign(user_id=joined["user_id"].fillna("u")) if column == "item_id" else joined
    with pytest.raises(DataError, match=f"row 3, column '{column}': is missing"):
        MusicDataset(items([1, 2]), None, joined[["user_id", "item_id", "weight"]])


def test_an_empty_frame_is_a_frame() -> None:
    assert as_frame(pd.DataFrame(), "x").empty
    assert as_frame(pa.table({}), "x").empty
