"""The routes: what they answer is what the library says, and what is wrong is named."""

from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

import recsys.service.bodies.schemas
from recsys import Recommender
from tests.recsys.service.conftest import Client, problem


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


def test_a_list_for_a_user(client: TestClient, model: Recommender) -> None:
    answer = client.get("/v1/users/u1/recommendations", params={"k": 4})
    expected = model.recommend("u1", k=4)
    assert ids(answer) == expected["item_id"].tolist()
    item, row = answer.json()["items"][0], expected.iloc[0]
    assert item["score"] == pytest.approx(float(row["score"]), abs=1e-5)
    assert item["title"] == row["title"]
    assert sum(item["shares"].values()) == pytest.approx(1, abs=1e-4)
    assert answer.json()["fallback"] is None


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ({"exclude_seen": "false"}, {"exclude_seen": False}),
        ({"exclude": ["s1", "s2"]}, {"exclude": ["s1", "s2"]}),
        ({"only": ["new-1", "s3"]}, {"only": ["new-1", "s3"]}),
        ({"where": ["genre=Jazz"]}, {"where": {"genre": ["Jazz"]}}),
        ({"per_artist": 1}, {"per_artist": 1}),
        ({"diversity": 0.5}, {"diversity": 0.5}),
        ({"popularity_correction": 0.5}, {"popularity_correction": 0.5}),
        ({"discovery": 0.3}, {"discovery": 0.3}),
        ({"new": "only"}, {"new": "only"}),
        ({"new": "2"}, {"new": 2}),
        ({"new": "0.2"}, {"new": 0.2}),
    ],
)
def test_all_options_of_lists(
    client: TestClient, model: Recommender, query: dict[str, Any], options: dict[str, Any]
) -> None:
    answer = client.get("/v1/users/u1/recommendations", params={"k": 6, **query})
    assert ids(answer) == model.recommend("u1", k=6, **options)["item_id"].tolist()
    body = {"history": {"s1": 2, "s4": 1}, "k": 6, **options}
    expected = model.recommend(history={"s1": 2, "s4": 1}, k=6, **options)
    assert ids(client.post("/v1/recommendations", json=body)) == expected["item_id"].tolist()


def test_somebody_unknown_gets_what_is_popular(client: TestClient) -> None:
    answer = client.get("/v1/users/nobody/recommendations").json()
    assert answer["fallback"] == "popular"
    assert "shares" not in answer["items"][0]


def test_a_list_has_an_id_and_a_generation(client: TestClient, model: Recommender) -> None:
    address = "/v1/users/u1/recommendations"
    first, again = client.get(address), client.get(address)
    assert first.json() == again.json()
    assert first.headers["etag"] == f'"{first.json()["list_id"]}"'
    other = client.get(address, params={"k": 3}).json()
    assert other["list_id"] != first.json()["list_id"]
    assert other["generation"] == first.json()["generation"]
    known = client.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    model.onboard(item_id="n", embedding=np.ones(4))
    later = client.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert later.status_code == 200
    assert later.json()["generation"] != first.json()["generation"]


def test_a_posted_history(client: TestClient, model: Recommender) -> None:
    answer = client.post("/v1/recommendations", json={"history": ["s1", "s3"], "k": 3})
    assert ids(answer) == model.recommend(history=["s1", "s3"], k=3)["item_id"].tolist()
    wrong = problem(client.post("/v1/recommendations", json={"history": ["s1", "s99"]}), 422)
    assert (wrong["field"], wrong["item_id"]) == ("history.1", "s99")
    assert problem(client.post("/v1/recommendations", json={"history": {"s1": -1}}), 422)["field"]


def test_similar_audience_explanation(client: TestClient, model: Recommender) -> None:
    answer = client.get("/v1/items/s1/similar", params={"k": 3, "by": "sound"})
    assert ids(answer) == model.similar("s1", k=3, by="sound")["item_id"].tolist()
    users = client.get("/v1/items/new-1/audience", params={"k": 3, "where": "genre=jazz"}).json()
    expected = model.audience("new-1", k=3, where={"genre": "jazz"})
    assert [user["user_id"] for user in users["users"]] == expected["user_id"].tolist()
    why = client.get("/v1/users/u1/explanations/s3").json()
    assert why["score"] == pytest.approx(model.explain("u1", "s3").score, abs=1e-5)
    assert "sources" in why["text"]
    assert problem(client.get("/v1/users/zz/explanations/s3"), 404)["user_id"] == "zz"
    assert problem(client.get("/v1/users/u1/explanations/zz"), 404)["item_id"] == "zz"


def test_search_and_facts(client: TestClient, model: Recommender) -> None:
    found = client.get("/v1/items", params={"q": "song 2", "k": 5})
    assert ids(found) == model.search("song 2", 5)["item_id"].tolist()
    assert found.json()["named"] == 1
    item = client.get("/v1/items/s2").json()
    assert (item["title"], item["genre"], item["cold"]) == ("Song 2", "rock", False)
    assert item["listeners"] > 0
    assert item["playable"] is False
    assert client.get("/v1/items/new-1").json()["cold"] is True
    unknown = problem(client.get("/v1/items/S 2"), 404)
    assert (unknown["item_id"], unknown["title"]) == ("S 2", "Unknown item")


@pytest.mark.parametrize(
    "name", ["a/b", "../../etc/passwd", "?#%&+ ", "é\u202e", "similar", "a%2Fb", "...", ".a"]
)
def test_ids_of_any_characters(client: TestClient, model: Recommender, name: str) -> None:
    model.onboard(item_id=name, title="Odd", embedding=[1, 0, 0.1, 0])
    plays = pd.DataFrame({"user_id": [name], "item_id": ["s1"], "weight": [1.0]})
    model.update(plays)
    place = f"/v1/items/{quote(name, safe='')}"
    assert client.get(place).json()["item_id"] == name
    assert client.get(f"{place}/similar").status_code == 200
    assert client.get(f"{place}/audience").status_code == 200
    person = f"/v1/users/{quote(name, safe='')}"
    assert client.get(f"{person}/recommendations").json()["fallback"] is None
    assert client.get(f"{person}/explanations/{quote(name, safe='')}").status_code == 200
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == 404


def test_a_path_of_a_file_is_no_item(client: TestClient, tmp_path: Any, recording: Any) -> None:
    for name in ("/etc/passwd", str(recording), "file:///etc/passwd"):
        address = f"/v1/items/{quote(name, safe='')}"
        for end in ("", "/similar", "/audience", "/audio", "/hyperimage.png"):
            assert problem(client.get(address + end), 404)["title"] == "Unknown item"
        wrong = problem(client.post("/v1/playlists", json={"seeds": [name]}), 422)
        assert wrong["field"] == "seeds.0"


@pytest.fixture
def recording(example_recording: Any) -> Any:
    return example_recording


def test_onboarding_by_embedding(client: TestClient, model: Recommender) -> None:
    song = {"item_id": "a b", "embedding": [1, 0, 0.1, 0], "title": "New", "tags": {"mood": "calm"}}
    added = client.post("/v1/items", json=song)
    assert added.status_code == 201, added.text
    assert added.headers["location"] == "/v1/items/a%20b"
    assert added.json()["item_id"] == "a b"
    item = client.get(added.headers["location"]).json()
    assert (item["title"], item["tags"], item["heard"]) == ("New", {"mood": "calm"}, True)
    again = client.post("/v1/items", json=song)
    assert again.status_code == 200
    only = client.get("/v1/users/u1/recommendations", params={"only": "a b"})
    assert ids(only) == ["a b"]
    wrong = problem(client.post("/v1/items", json={**song, "embedding": [1, 2]}), 422)
    assert wrong["field"] == "embedding"
    assert problem(client.post("/v1/items", json={**song, "item_id": "s1"}), 409)["item_id"] == "s1"
    missing = problem(client.post("/v1/items", json={"embedding": [1, 0, 0, 0]}), 422)
    assert missing["field"] == "item_id"


def test_plays_count_once(client: TestClient, model: Recommender) -> None:
    batch = {
        "batch_id": "monday",
        "plays": [
            {"user_id": "ann", "item_id": "s1", "timestamp": "2026-05-01T12:00:00+02:00"},
            {"user_id": "ann", "item_id": "new-1", "weight": 2, "timestamp": "2026-05-01T12:00Z"},
            {"user_id": 7, "item_id": "s2", "timestamp": 1_700_000_000},
        ],
    }
    first = client.post("/v1/plays", json=batch)
    assert first.status_code == 202, first.text
    taken = first.json()
    assert (taken["plays"], taken["new_users"], taken["warmed"]) == (3, 2, 1)
    again = client.post("/v1/plays", json=batch)
    assert (again.status_code, again.json()["plays"], again.json()["repeated"]) == (202, 0, 3)
    other = {**batch, "plays": batch["plays"][:1]}
    assert problem(client.post("/v1/plays", json=other), 409)["field"] == "batch_id"
    assert client.get("/v1/users/ann/recommendations").json()["fallback"] is None
    # Durable: whoever opens the folder has them.
    assert Recommender.load(str(model._folder)).live.counts()["users"] == 62


def test_plays_that_cannot_be_taken(client: TestClient, model: Recommender) -> None:
    before = model.live
    play = {"user_id": "ann", "item_id": "s1"}
    for plays, field in (
        ([play, {"user_id": "ann", "item_id": "s99"}], "plays.1"),
        ([play, {"user_id": "ann"}], "plays.1.item_id"),
        ([{**play, "weight": -1}], "plays.0.weight"),
        ([{**play, "user_id": " "}], "plays.0.user_id"),
        ([{**play, "user_id": None}], "plays.0.user_id"),
        ([{**play, "item_id": True}], "plays.0.item_id"),
        ([{**play, "timestamp": "yesterday"}], "plays.0.timestamp"),
        ([play, {**play, "timestamp": 0}], "plays.0.timestamp"),
        ([{**play, "colour": "red"}], "plays.0.colour"),
    ):
        assert problem(client.post("/v1/plays", json={"plays": plays}), 422)["field"] == field
    assert model.live is before


def test_removal(client: TestClient) -> None:
    assert client.delete("/v1/items/s3").status_code == 204
    assert problem(client.delete("/v1/items/s3"), 404)["item_id"] == "s3"
    assert problem(client.get("/v1/items/s3"), 404)["item_id"] == "s3"


def test_playlists(client: TestClient, model: Recommender) -> None:
    answer = client.post("/v1/playlists", json={"seeds": ["s1", "s2"], "length": 6, "path": True})
    assert ids(answer) == model.playlist(["s1", "s2"], length=6, path=True)["item_id"].tolist()
    assert "path" not in answer.json()["items"][0]
    asked = {"seeds": ["s1"], "user_id": "nobody"}
    assert problem(client.post("/v1/playlists", json=asked), 422)["user_id"] == "nobody"
    header = {"Accept": "audio/x-mpegurl"}
    silent = problem(client.post("/v1/playlists", json={"seeds": ["s1"]}, headers=header), 422)
    assert silent["title"] == "No recording"


def test_facts(client: TestClient, model: Recommender) -> None:
    facts = client.get("/v1/model").json()
    assert facts["now"] == model.info["now"]
    assert facts["limits"]["max_k"] == 1000
    assert facts["hears"] is False
    assert client.get("/health/live").json() == {"alive": True}
    assert client.get("/health/ready").json()["ready"] is True
    text = client.get("/metrics").text
    assert "coldtune_items 30.0" in text
    assert "coldtune_users 60.0" in text
    assert 'route="/v1/model",status="200"} 1.0' in text


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("/v1/users/u1/recommendations?k=0", "k"),
        ("/v1/users/u1/recommendations?k=x", "k"),
        ("/v1/users/u1/recommendations?k=1001", "k"),
        ("/v1/users/u1/recommendations?diversity=nan", "diversity"),
        ("/v1/users/u1/recommendations?where=genre", "where"),
        ("/v1/users/u1/recommendations?where=colour%3Dred", "where"),
        ("/v1/users/u1/recommendations?new=-1", "new"),
        ("/v1/users/u1/recommendations?new=x", "new"),
        ("/v1/users/u1/recommendations?only=s99", "only.0"),
        ("/v1/users/%20/recommendations", "user_id"),
        ("/v1/users/%00/recommendations", "user_id"),
        ("/v1/users/%ff/recommendations", "user_id"),
        ("/v1/items/s1/similar?by=smell", "by"),
        ("/v1/items?q=", "q"),
        ("/v1/users/u1/recommendations?discovry=0.2", "discovry"),
        ("/v1/items/s1/similar?k=2&K=3", "K"),
        ("/v1/items/s1/audience?users=zz", "users"),
        ("/v1/items", "q"),
    ],
)
def test_the_field_that_is_wrong_is_named(client: TestClient, address: str, field: str) -> None:
    assert problem(client.get(address), 422)["field"] == field


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", True), ("k", "5"), ("k", 5.5), ("k", None), ("exclude_seen", "yes"),
        ("exclude_seen", 1), ("diversity", "0.5"), ("diversity", True), ("new", True),
        ("per_artist", "1"), ("where", {"genre": True}), ("where", ["genre=jazz"]),
        ("history", "s1"), ("history", {"s1": "2"}), ("history", {"s1": True}), ("only", "s1"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_none(client: TestClient, name: str, value: Any) -> None:
    body = {"history": ["s1"], name: value}
    field = problem(client.post("/v1/recommendations", json=body), 422)["field"]
    assert field == (f"{name}.{next(iter(value))}" if isinstance(value, dict) else name)


def test_an_explanation_for_a_history(client: TestClient, model: Recommender) -> None:
    body = {"history": ["s1", "s4"], "item_id": "s3"}
    why = client.post("/v1/explanations", json=body).json()
    expected = model.explain(None, "s3", history=["s1", "s4"])
    assert why["score"] == pytest.approx(expected.score, abs=1e-5)
    assert why["user_id"] is None
    unknown = client.post("/v1/explanations", json={**body, "item_id": "zz"})
    assert problem(unknown, 404)["item_id"] == "zz"


def test_what_is_not_there(client: TestClient) -> None:
    assert problem(client.get("/v1/nothing"), 404)["title"] == "Not found"
    assert problem(client.put("/v1/model"), 405)["title"] == "Method not allowed"
    assert "text/html" in client.get("/").headers["content-type"]
    assert problem(client.post("/v1/plays", content=b"{"), 422)
    header = {"Content-Type": "application/json"}
    assert problem(client.post("/v1/plays", content=b"{", headers=header), 400)["field"] == "body"
    assert problem(client.post("/v1/items", content=b"x"), 415)


def test_openapi_describes_every_route(client: TestClient) -> None:
    document = client.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    named = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert {"recommendForUser", "takePlays", "onboardItem", "getAudio", "makePlaylist"} <= named
    schemas = document["components"]["schemas"]
    for name in (
        "HistoryBody", "ExplanationBody", "PlaysBody", "PlaylistBody", "ItemList", "ProblemDetails",
        "Audience", "Playlist", "FoundItems", "Item", "Explained", "Onboarded", "ModelFacts",
        "PlaysTaken",
    ):  # fmt: skip
        (example,) = schemas[name]["examples"]
        getattr(recsys.service.bodies.schemas, name).model_validate(example)
    paths = document["paths"]
    assert paths["/v1/plays"]["post"]["x-role"] == "write"
    assert paths["/v1/model"]["get"]["x-role"] == "read"
    assert paths["/health/live"]["get"]["security"] == []
    assert document["security"] == [{"key": []}]


def test_texts_are_not_trusted(client: TestClient, client_of: Client, model: Recommender) -> None:
    title = '<script>alert(1)</script>\u2028"\u202e'
    song = {"item_id": "x", "embedding": [1, 0, 0.1, 0], "title": title}
    assert client.post("/v1/items", json=song).status_code == 201
    answer = client.get("/v1/items/x")
    assert answer.json()["title"] == title
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content.isascii()
