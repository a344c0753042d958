"""Every public call that is given an id refuses what a data set refuses, and takes what it takes.

A value of a wrong type must never be somebody unknown, who gets the popular items.
"""

import datetime
import decimal
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from datasets.errors import ColdtuneError, DataError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation import Popularity, warm_split
from evaluation.models.external import PEERS
from evaluation.splitting.split import Split
from recsys import Recommender
from tests.helpers.recommenders import QUICK

USERS = [str(1000 + n) for n in range(24)]
ITEMS = [str(n) for n in range(16)]


def tables() -> dict[str, pd.DataFrame]:
    """Items and plays whose ids are whole numbers."""
    random = np.random.default_rng(0)
    rows = [
        (int(user), int(item), float(random.integers(1, 9)))
        for user in USERS
        for item in random.choice(len(ITEMS) - 1, 5, replace=False)
    ]
    items = pd.DataFrame({"item_id": [int(item) for item in ITEMS]}).assign(
        title="T", artist="", album="", genre=["jazz", "rock"] * 8
    )
    return {
        "items": items,
        "interactions": pd.DataFrame(rows, columns=["user_id", "item_id", "weight"]),
    }


@pytest.fixture(scope="module")
def dataset() -> MusicDataset:
    return MusicDataset(**tables())


@pytest.fixture(scope="module")
def model(dataset: MusicDataset) -> Recommender:
    embeddings = np.random.default_rng(1).normal(size=(len(ITEMS), 4)).astype(np.float32)
    return Recommender(QUICK).fit(dataset, embeddings=pd.DataFrame(embeddings, index=ITEMS))


BAD: dict[str, Any] = {
    "float": 1000.0,
    "float32": np.float32(1000),
    "half": 1.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "None": None,
    "NA": pd.NA,
    "NaT": pd.NaT,
    "bytes": b"1000",
    "numpy bytes": np.bytes_(b"1000"),
    "True": True,
    "numpy True": np.bool_(True),
    "decimal": decimal.Decimal(1000),
    "date": datetime.date(2024, 1, 1),
    "time": pd.Timestamp(2024, 1, 1),
    "complex": 1000 + 0j,
    "list": ["1000"],
    "tuple": ("1000",),
    "nested tuple": ("1000", ["1001"]),
    "set": {"1000"},
    "dict": {"1000": 1},
    "array": np.array(["1000"]),
    "float array of no dimension": np.array(1000.0),
    "series": pd.Series(["1000"]),
    "frame": pd.DataFrame({"user_id": ["1000"]}),
    "arrow scalar": pa.scalar("1000"),
    "function": lambda: "1000",
    "type": str,
    "": "",
    "blank": "  ",
    "tab": "\t",
    "NUL": "1000\0",
    "lone surrogate": "\udcff",
    "number of 5,000 digits": 10**5000,
}


def plays(user: Any = "1000", item: Any = "0") -> pd.DataFrame:
    columns = {"user_id": [user], "item_id": [item], "weight": [1.0]}
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def songs(item: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"item_id": pd.Series([item], dtype=object)})
    return frame.assign(title="", artist="", album="", genre="")


def cold_split(**ids: Any) -> Split:
    return Split("s", "cold", np.arange(3), np.arange(3, 5), **ids)


Ask = Callable[[Recommender, Any], Any]

SINGLE: dict[str, Ask] = {
    "recommend user": lambda model, one: model.recommend(one),
    "recommend history": lambda model, one: model.recommend(history=[one]),
    "recommend history with plays": lambda model, one: model.recommend(history=_plays_of(one)),
    "recommend exclude": lambda model, one: model.recommend("1000", exclude=[one]),
    "recommend only": lambda model, one: model.recommend("1000", only=["1", one]),
    "recommend_many users": lambda model, one: model.recommend_many(["1001", one]),
    "recommend_many exclude": lambda model, one: model.recommend_many(["1001"], exclude=(one,)),
    "recommend_many only": lambda model, one: model.recommend_many(["1001"], only=iter([one])),
    "recommend_batches": lambda model, one: list(model.recommend_batches(iter([one]))),
    "recommend_batches only": lambda model, one: list(model.recommend_batches(only=[one])),
    "explain user": lambda model, one: model.explain(one, "0"),
    "explain item": lambda model, one: model.explain("1000", one),
    "explain history": lambda model, one: model.explain(None, "0", history=[one]),
    "similar": lambda model, one: model.similar(one),
    "onboard": lambda model, one: model.onboard(item_id=one, embedding=np.ones(4)),
    "onboard_many": lambda model, one: model.onboard_many(MusicDataset(songs(one))),
    "remove": lambda model, one: model.remove(one),
    "update user": lambda model, one: model.update(plays(user=one)),
    "update item": lambda model, one: model.update(plays(item=one)),
    "data set": lambda model, one: MusicDataset(songs(one)),
    "data set plays": lambda model, one: MusicDataset(songs("0"), interactions=plays(item=one)),
    "data set users": lambda model, one: MusicDataset(songs("0"), interactions=plays(user=one)),
    "split cold": lambda model, one: cold_split(cold_items=("0", one)),
    "split excluded": lambda model, one: cold_split(excluded_items=(one,)),
    "split thin": lambda model, one: cold_split(few_shot_items=(one,)),
}


def _plays_of(one: Any) -> Mapping[Any, float]:
    try:
        return {"1": 1.0, one: 2.0}
    except TypeError:  # it cannot be a key
        pytest.skip("no key of a mapping")


@pytest.fixture(scope="module")
def on_data(model: Recommender, dataset: MusicDataset) -> dict[str, Callable[[Any], Any]]:
    """Calls of data sets and of other models."""
    popular = Popularity().fit(dataset)
    peer = PEERS["item-knn"](tuned=False).fit(dataset)
    return {
        "take_items": lambda one: dataset.take_items([one]),
        "drop_items": lambda one: dataset.drop_items(["0", one]),
        "popularity users": lambda one: popular.recommend_many([one], 3),
        "popularity only": lambda one: popular.recommend_many(["1000"], 3, only=[one]),
        "peer users": lambda one: peer.recommend_many([one], 3),
        "peer only": lambda one: peer.recommend_many(["1000"], 3, only=[one]),
        "embeddings": lambda one: model.onboard_many(dataset, embeddings=_vectors(one)),
        "peer update": lambda one: peer.update(plays(user=one)),
    }


def _vectors(one: Any) -> pd.DataFrame:
    ids = pd.Series(["0", one], dtype=object)
    return pd.DataFrame(np.ones((2, 4), np.float32)).assign(item_id=ids)


def is_refusal(error: ColdtuneError) -> bool:
    return isinstance(error, InvalidArgumentError | DataError) and "\n" not in str(error)


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
@pytest.mark.parametrize("entry", SINGLE)
def test_what_is_no_id_is_refused(model: Recommender, entry: str, value: Any) -> None:
    if value is None and entry in ("explain user", "recommend user"):
        pytest.skip("nobody is named: the error is another")
    before = model.info["now"]
    with pytest.raises(ColdtuneError) as raised:
        SINGLE[entry](model, value)
    assert is_refusal(raised.value), raised.value
    assert model.info["now"] == before


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_models_data_sets_and_embeddings_refuse_the_same(
    on_data: dict[str, Callable[[Any], Any]], value: Any
) -> None:
    for name, ask in on_data.items():
        with pytest.raises(ColdtuneError) as raised:
            ask(value)
        assert is_refusal(raised.value), (name, raised.value)


GOOD: dict[str, Any] = {
    "text": "3",
    "int": 3,
    "int64": np.int64(3),
    "uint8": np.uint8(3),
    "array of no dimension": np.array(3),
    "text array of no dimension": np.array("3"),
    "numpy text": np.str_("3"),
    "Int64": pd.array([3], dtype="Int64")[0],
}


@pytest.mark.parametrize("value", GOOD.values(), ids=GOOD)
def test_whole_numbers_are_taken_everywhere_the_same_way(
    model: Recommender, dataset: MusicDataset, value: Any
) -> None:
    user = 1003
    asked = {
        "recommend": lambda item, user: model.recommend(user, only=[item, "4"], exclude=["5"]),
        "history": lambda item, user: model.recommend(history=[item]),
        "plays": lambda item, user: model.recommend(history={"3" if _dead(item) else item: 2}),
        "many": lambda item, user: model.recommend_many([user], only=[item]),
        "batches": lambda item, user: next(iter(model.recommend_batches([user], 3))),
        "similar": lambda item, user: model.similar(item),
        "taken": lambda item, user: dataset.take_items([item]).items,
        "dropped": lambda item, user: dataset.drop_items([item]).items,
    }
    for name, ask in asked.items():
        pd.testing.assert_frame_equal(ask(value, user), ask("3", "1003"), obj=name)
        assert "fallback" not in ask(value, user).attrs
    assert model.explain(user, value) == model.explain("1003", "3")
    assert cold_split(cold_items=(value,)).cold_items == ("3",)
    assert MusicDataset(songs(value)).items["item_id"].tolist() == ["3"]


def _dead(value: Any) -> bool:
    return isinstance(value, np.ndarray)  # which cannot be a key


@pytest.mark.parametrize("value", [77, np.int64(78), "79"])
def test_changes_take_whole_numbers(dataset: MusicDataset, value: Any) -> None:
    model = Recommender(QUICK).fit(dataset, embeddings=pd.DataFrame(np.eye(16), index=ITEMS))
    added = model.onboard(item_id=value, embedding=np.ones(16))
    assert added.item_id == str(value)
    report = model.update(plays(user=value, item=value))
    assert (report.plays, report.new_users) == (1, 1)
    assert model.recommend(value).attrs.get("fallback") is None
    model.remove(value)
    assert model.info["now"]["items"] == 16


SEVERAL_BAD: dict[str, Any] = {
    "text": "1000",
    "bytes": b"1000",
    "bytearray": bytearray(b"1000"),
    "None": None,
    "number": 1000,
    "array of no dimension": np.array("1000"),
    "two dimensions": np.array([["1000"], ["1001"]]),
    "floats": pd.Series([1000.0, 1001.0]),
    "floats with a gap": pd.Series([1000, None]),
    "truth values": np.array([True, False]),
    "list of bytes": [b"1000"],
    "list of lists": [["1000"]],
    "pairs": [("1000", 3)],
    "frame": pd.DataFrame({"user_id": ["1000"], "item_id": ["1"]}),
    "arrow table": pa.table({"user_id": ["1000"], "item_id": ["1"]}),
    "levels": pd.MultiIndex.from_tuples([("1000", "1")]),
    "counts of plays": pd.Series(["1", "1"], name="item_id").value_counts(),
    "plays by id": pd.Series([3, 4], index=["1", "2"]),
    "file": io.StringIO("1000\n1001\n"),
    "gap": pd.Series(["1000", None]),
    "categories with a gap": pd.Categorical(["1000", None]),
}


@pytest.mark.parametrize("value", SEVERAL_BAD.values(), ids=SEVERAL_BAD)
def test_what_is_no_list_of_ids_is_refused(
    model: Recommender, dataset: MusicDataset, value: Any
) -> None:
    asked: dict[str, Callable[[], Any]] = {
        "users": lambda: model.recommend_many(value),
        "history": lambda: model.recommend(history=value),
        "exclude": lambda: model.recommend("1000", exclude=value),
        "exclude many": lambda: model.recommend_many(["1000"], exclude=value),
        "explain": lambda: model.explain(None, "1", history=value),
        "take": lambda: dataset.take_items(value),
        "popularity": lambda: Popularity().fit(dataset).recommend_many(value, 3),
        "split": lambda: cold_split(cold_items=value),
    }
    if value is not None:  # which there means everything
        asked["only"] = lambda: model.recommend("1000", only=value)
        asked["batches"] = lambda: list(model.recommend_batches(value))
    for name, ask in asked.items():
        if name in ("history", "explain") and value is None:
            continue
        with pytest.raises(ColdtuneError) as raised:
            ask()
        assert is_refusal(raised.value), (name, raised.value)


@pytest.mark.parametrize("name", ["user_ids", "exclude", "only", "take"])
def test_a_mapping_is_a_history_and_nothing_else(
    model: Recommender, dataset: MusicDataset, name: str
) -> None:
    mapping = {"1": 2.0}
    ask: dict[str, Callable[[], Any]] = {
        "user_ids": lambda: model.recommend_many(mapping),
        "exclude": lambda: model.recommend("1000", exclude=mapping),
        "only": lambda: model.recommend("1000", only=mapping),
        "take": lambda: dataset.take_items(mapping),
    }
    with pytest.raises(InvalidArgumentError, match=r"must be several ids, not a mapping"):
        ask[name]()
    assert len(model.recommend(history=mapping))


SEVERAL_GOOD: dict[str, Callable[[list[int]], Any]] = {
    "list of numbers": list,
    "tuple": tuple,
    "series": pd.Series,
    "series with an index of its own": lambda ids: pd.Series(ids, index=range(5, 5 + len(ids))),
    "column of a frame by name": lambda ids: pd.Series(
        ids, index=[f"row {n}" for n in ids], name="user_id"
    ),
    "nullable": lambda ids: pd.Series(ids, dtype="Int64"),
    "texts of arrow": lambda ids: pd.Series(map(str, ids), dtype="string[pyarrow]"),
    "categories": lambda ids: pd.Series(map(str, ids), dtype="category"),
    "index": pd.Index,
    "array": np.array,
    "array of texts": lambda ids: np.array([str(n) for n in ids]),
    "generator": lambda ids: (n for n in ids),
    "keys": lambda ids: dict.fromkeys(ids).keys(),
    "arrow": pa.array,
    "arrow chunks": lambda ids: pa.chunked_array([ids]),
}


@pytest.mark.parametrize("make", SEVERAL_GOOD.values(), ids=SEVERAL_GOOD)
def test_several_ids_of_any_container(
    model: Recommender, dataset: MusicDataset, make: Callable[[list[int]], Any]
) -> None:
    users, items = [1003, 1001], [2, 4]
    texts = [str(item) for item in items]
    expected = model.recommend_many(["1003", "1001"], 3)
    pd.testing.assert_frame_equal(model.recommend_many(make(users), 3), expected)
    pd.testing.assert_frame_equal(next(iter(model.recommend_batches(make(users), 3))), expected)
    for option in ("only", "exclude"):
        asked = model.recommend("1000", **{option: make(items)}, exclude_seen=False)
        known = model.recommend("1000", **{option: texts}, exclude_seen=False)
        pd.testing.assert_frame_equal(asked, known)
    found = model.recommend(history=make(items))
    pd.testing.assert_frame_equal(found, model.recommend(history=texts))
    assert dataset.take_items(make(items)).items["item_id"].tolist() == texts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"history": {1: 1.0, "1": 2.0}}, "history: item '1' is given twice"),
        ({"history": {1: True}}, "history: plays of item '1' must be a positive number, not True"),
        ({"history": {1: b"3"}}, "history: plays of item '1' must be a positive number"),
        ({"history": {1.0: 3}}, "history: id number 1 must be a text or a whole number, not 1.0"),
        ({"user_id": "1000", "exclude_seen": "no"}, "exclude_seen must be True or False, not 'no'"),
        ({"user_id": "1000", "where": {"genre": b"jazz"}}, "where: values of 'genre' must be"),
        ({"user_id": "1000", "where": {"genre": {"jazz": 1}}}, "where: values of 'genre' must be"),
        (
            {"user_id": "1000", "where": {"genre": pd.DataFrame({"jazz": ["rock"]})}},
            "where: values of 'genre' must be",
        ),
    ],
)
def test_other_arguments_are_not_taken_for_what_they_are_not(
    model: Recommender, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        model.recommend(**options)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_a_table_is_no_data_set(model: Recommender) -> None:
    table = tables()["interactions"]
    asked: list[Callable[[], Any]] = [
        lambda: model.fit(table),  # type: ignore[arg-type]
        lambda: model.onboard_many(table),  # type: ignore[arg-type]
        lambda: warm_split(table),  # type: ignore[arg-type]
        lambda: cold_split(cold_items=("0",)).check(table),  # type: ignore[arg-type]
        lambda: Popularity().fit(table),  # type: ignore[arg-type]
        lambda: PEERS["bpr"]().fit(table),  # type: ignore[arg-type]
    ]
    for ask in asked:
        with pytest.raises(InvalidArgumentError, match="dataset must be a MusicDataset"):
            ask()


@pytest.mark.parametrize("tags", [["mood"], "mood", 5, {"mood"}])
def test_tags_are_a_mapping(model: Recommender, tags: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="tags must be texts by name"):
        model.onboard(item_id="new", embedding=np.ones(4), tags=tags)


def test_a_text_that_nobody_has_is_somebody_unknown(model: Recommender) -> None:
    for user in ("nobody", 7, "1000.0", "NaN", "None", "True"):
        assert model.recommend(user).attrs["fallback"] == "popular"
