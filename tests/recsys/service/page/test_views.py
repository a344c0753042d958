"""The pages without a browser: what they say, what they escape, and who may see them."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from starlette.testclient import TestClient

from recsys import Recommender
from recsys.service.page.rendering import static_files
from recsys.service.page.session import COOKIE
from recsys.service.requests.keys import KeyFile
from tests.recsys.service.conftest import Client, problem

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e{{7*7}}'


def shown(client: TestClient, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def listed(page: str) -> list[str]:
    """Ids of the songs in the list of a page, in its order."""
    part = page[page.index('<ol class="list"') :]
    part = part[: part.index("</ol>")]
    rows = part.split('<li class="row')[1:]
    return [unescape(re.search(r'data-item="([^"]*)"', row)[1]) for row in rows]  # type: ignore[index]


def test_the_first_page(client: TestClient, model: Recommender) -> None:
    page = shown(client, "/")
    assert "30 songs and 60 listeners" in page
    assert 'href="/listener?user=' in page
    assert "Nobody has played these yet" in page
    assert "Choose a recording" not in page  # this model hears nothing
    assert "Report" not in page


def test_pages_load_nothing_from_elsewhere_and_run_nothing_in_them(client: TestClient) -> None:
    for address in ("/", "/listener?user=u1", "/song?item=s1", "/somebody?song=s1", "/map"):
        answer = client.get(address)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        text = answer.text
        found = re.findall(r'(?:src|href|action)="([^"]*)"', text)
        assert found
        assert all(one.startswith(("/", "#")) for one in found), found
        assert re.findall(r"<script(?![^>]* src=)", text) == []
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", text) == []
    first, second = (client.get("/").headers["content-security-policy"] for _ in range(2))
    assert first != second  # a nonce counts once


def test_a_listener_is_shown_what_the_library_recommends(
    client: TestClient, model: Recommender
) -> None:
    page = shown(client, "/listener?user=u1")
    assert listed(page) == model.recommend("u1", k=10)["item_id"].tolist()
    part = shown(client, "/page/list?user=u1&discovery=0.9&k=6")
    expected = model.recommend("u1", k=6, discovery=0.9)
    assert listed(part) == expected["item_id"].tolist()
    assert part.count('class="new"') == int(expected["new"].sum())
    assert "<html" not in part


def test_somebody_unknown_is_shown_popular_songs(client: TestClient) -> None:
    page = shown(client, "/listener?user=nobody")
    assert "songs that many people like" in page
    assert "Nobody has seen this listener" in page


def test_somebody_new_gets_a_list_by_clicking_songs(client: TestClient, model: Recommender) -> None:
    page = shown(client, "/somebody")
    assert "The list begins" in page
    links = [unescape(one) for one in re.findall(r'role="button"[^>]*?href="([^"]*)"', page, re.S)]
    assert len(links) == 12
    page = shown(client, links[0])
    assert page.count('aria-pressed="true"') == 1
    (song,) = re.findall(r'name="song" value="([^"]*)"', page)
    assert listed(page) == model.recommend(history=[song], k=10)["item_id"].tolist()
    assert "The list begins" in shown(client, "/somebody?song=gone")
    two = shown(client, "/page/list?song=s1&song=s3&k=4")
    assert listed(two) == model.recommend(history=["s1", "s3"], k=4)["item_id"].tolist()


def test_why(client: TestClient, model: Recommender) -> None:
    page = shown(client, "/page/why?user=u1&item=s3")
    why = model.explain("u1", "s3", n=3)
    share = max(why.shares.values())
    assert f'<span class="share">{share * 100:.0f} %</span>' in page
    assert why.sound[0].title in page
    assert "In common with what was played" in page
    assert "Sound" in shown(client, "/page/why?song=s1&song=s2&item=new-1")
    assert "Nobody of this name" in shown(client, "/page/why?user=nobody&item=s3", 404)


def test_a_song_its_audience_and_nearest_songs(client: TestClient, model: Recommender) -> None:
    page = shown(client, "/song?item=new-1")
    assert "Nobody has played it yet" in page
    for user in model.audience("new-1", k=8)["user_id"]:
        assert f"/listener?user={user}&amp;mark=new-1" in page
    for item in model.similar("new-1", k=6)["item_id"]:
        assert f'href="/song?item={item}"' in page
    near = shown(client, "/page/near?item=new-1&by=sound")
    for item in model.similar("new-1", k=6, by="sound")["item_id"]:
        assert f'href="/song?item={item}"' in near
    assert 'aria-pressed="true"' in near


def test_search_finds_listeners_and_songs(client: TestClient) -> None:
    page = shown(client, "/page/search?q=" + quote("Song 3"))
    assert "Song 3" in page
    page = shown(client, "/page/search?q=u1")
    assert page.index('href="/listener?user=u1"') < page.index('href="/listener?user=u10"')
    assert client.get("/page/search?q=").text == ""
    assert "is called “&lt;b&gt;”" in shown(client, "/page/search?q=%3Cb%3E")


def test_a_part_is_given_to_scripts_and_the_whole_to_browsers(client: TestClient) -> None:
    whole = client.get("/song?item=s1").text
    part = client.get("/song?item=s1", headers={"HX-Request": "true"}).text
    again = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    assert "<!doctype html>" in whole
    assert "<html" not in part
    assert part.startswith("<title>Song 1")
    assert "<!doctype html>" in client.get("/song?item=s1", headers=again).text


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/song?item=s99", 404, "No such song"),
        ("/song", 422, "That cannot be asked"),
        ("/listener?user=u1&discovery=2", 422, "That cannot be asked"),
        ("/listener?user=u1&k=100000", 422, "That cannot be asked"),
        ("/listener?user=%00", 422, "That cannot be asked"),
        ("/page/list", 422, "That cannot be asked"),
        ("/page/near?item=s1&by=colour", 422, "That cannot be asked"),
        ("/report", 404, "No report yet"),
        ("/somebody?" + "&".join(["song=s1"] * 101), 422, "That cannot be asked"),
    ],
)
def test_what_is_wrong_is_said_in_words(
    client: TestClient, address: str, status: int, said: str
) -> None:
    page = shown(client, address, status)
    assert f'<h1 tabindex="-1">{said}</h1>' in page
    assert "Traceback" not in page


def test_texts_of_songs_and_users_are_never_trusted(client: TestClient, model: Recommender) -> None:
    model.onboard(
        item_id=HOSTILE, embedding=np.ones(4), title=HOSTILE, artist=HOSTILE, album=HOSTILE,
        genre=HOSTILE, tags={"mood": HOSTILE},
    )  # fmt: skip
    item = quote(HOSTILE)
    for address in (
        "/", f"/song?item={item}", f"/listener?user={item}", f"/somebody?song={item}",
        f"/page/search?q={quote('alert')}", f"/page/near?item={item}", "/listener?user=u1&k=40",
        f"/listener?user=u1&mark={item}", f"/page/why?user=u1&item={item}",
    ):  # fmt: skip
        page = shown(client, address)
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in re.sub(r'(?:value|data-item)="[^"]*"', "", page)
        assert "49" not in re.findall(r"alert\(2\)>[^<]*", page)
    page = shown(client, f"/song?item={item}")
    held = re.search(r'data-play data-item="([^"]*)"', page)
    assert held is not None
    assert unescape(held[1]) == HOSTILE  # ids stay as they are


def test_ids_of_any_characters_find_their_way_back(client: TestClient, model: Recommender) -> None:
    for item_id in ("a/b?c=d&e#f", "50% ü", "line"):
        model.onboard(item_id=item_id, embedding=np.ones(4))
        page = shown(client, f"/song?item={quote(item_id, safe='')}")
        (link,) = set(re.findall(r'href="(/somebody\?song=[^"]*)"', page))
        assert 'aria-label="Chosen songs"' in shown(client, unescape(link))


def test_static_files_are_those_and_no_others(client: TestClient) -> None:
    for name, (content, kind, tag) in static_files().items():
        answer = client.get(f"/page/static/{name}")
        assert answer.content == content
        assert answer.headers["content-type"] == kind
        known = client.get(f"/page/static/{name}", headers={"If-None-Match": tag})
        assert known.status_code == 304
    for name in (
        "..%2Fapp.py",
        "../app.py",
        "%2e%2e/app.py",
        "vendor",
        "nothing.js",
        "page.css%00",
    ):
        assert client.get(f"/page/static/{name}").status_code == 404


def test_vendored_scripts_have_their_licences() -> None:
    names = set(static_files())
    for script in (one for one in names if one.startswith("vendor/") and one.endswith(".js")):
        package = script.removeprefix("vendor/").partition("-")[0]
        assert f"vendor/{package}-LICENSE.txt" in names
        assert script.removeprefix("vendor/") in static_files()["vendor/README.txt"][0].decode()


def test_a_service_without_the_page(client_of: Client, model: Recommender) -> None:
    client = client_of(model, page=False)
    assert client.get("/").status_code == 404
    assert client.get("/page/static/page.css").status_code == 404
    assert client.get("/health/live").status_code == 200


def test_a_model_that_loads_says_so_and_tries_again(client_of: Client, tmp_path: Path) -> None:
    answer = client_of(tmp_path / "model").get("/")
    assert answer.status_code == 503
    assert "tries again by itself" in answer.text
    assert answer.headers["refresh"] == "2"


def test_a_report_beside_the_model_runs_in_an_origin_of_its_own(
    client_of: Client, model: Recommender, tmp_path: Path
) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("<p>How good?</p><script>1</script>")
    model.save(tmp_path / "model")
    client = client_of(model)
    client.app.state.context.served.folder = tmp_path / "model"  # type: ignore[attr-defined]
    assert ">Report<" in client.get("/").text
    answer = client.get("/report")
    assert answer.text.startswith("<p>How good?")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy  # default-src 'none' holds for it


class TestKeys:
    """With keys a browser shows its own once, and keeps it in a cookie."""

    @pytest.fixture
    def tokens(self, tmp_path: Path) -> dict[str, str]:
        keys = KeyFile(tmp_path / "keys.json")
        return {"read": keys.add("reader", "read"), "write": keys.add("writer", "write")}

    @pytest.fixture
    def guarded(self, client_of: Client, model: Recommender, tmp_path: Path) -> TestClient:
        client = client_of(model, keys=tmp_path / "keys.json")
        client.follow_redirects = False
        return client

    def test_without_a_key_one_is_led_to_the_way_in(
        self, tokens: dict[str, str], guarded: TestClient
    ) -> None:
        answer = guarded.get("/song?item=s1")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/enter?then=%2Fsong%3Fitem%3Ds1"
        part = guarded.get("/song?item=s1", headers={"HX-Request": "true"})
        assert (part.status_code, part.headers["hx-redirect"]) == (401, "/enter")
        form = guarded.get(answer.headers["location"])
        assert 'name="then" value="/song?item=s1"' in form.text
        assert "u1" not in form.text
        problem(guarded.get("/page/cover?item=s1"), 401)
        assert guarded.get("/page/static/page.css").status_code == 200

    def test_the_way_in_and_out(self, tokens: dict[str, str], guarded: TestClient) -> None:
        wrong = guarded.post("/enter", data={"key": "ct_wrong"})
        assert wrong.status_code == 401
        assert "not known here" in wrong.text
        assert "ct_wrong" not in wrong.text
        entered = guarded.post("/enter", data={"key": f" {tokens['read']} ", "then": "/map"})
        assert (entered.status_code, entered.headers["location"]) == (303, "/map")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/" in cookie
        assert "max-age" not in cookie
        assert guarded.get("/song?item=s1").status_code == 200
        # The key counts for sound and pictures, too, which a browser asks for without a header.
        assert guarded.get("/page/cover?item=s1").status_code == 200
        assert guarded.get("/v1/items/s1").status_code == 200
        left = guarded.post("/leave", headers={"Origin": "http://localhost"})
        assert left.headers["location"] == "/enter"
        assert guarded.get("/song?item=s1").status_code == 303

    def test_the_cookie_is_for_https_alone_where_the_service_is(
        self, tokens: dict[str, str], client_of: Client, model: Recommender, tmp_path: Path
    ) -> None:
        client = client_of(model, keys=tmp_path / "keys.json", url="https://music.example")
        client.follow_redirects = False
        entered = client.post("/enter", data={"key": tokens["read"]})
        assert "; Secure" in entered.headers["set-cookie"]

    def test_one_is_led_nowhere_else(self, tokens: dict[str, str], guarded: TestClient) -> None:
        for then in ("//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nX: y"):
            answer = guarded.post("/enter", data={"key": tokens["read"], "then": then})
            assert answer.headers["location"] == "/"

    def test_a_cookie_does_not_count_for_what_another_page_sends(
        self, tokens: dict[str, str], guarded: TestClient
    ) -> None:
        guarded.cookies.set(COOKIE, tokens["write"])
        body = {"plays": [{"user_id": "u1", "item_id": "s1"}]}
        own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
        assert guarded.post("/v1/plays", json=body, headers=own).status_code == 202
        for headers, status in (
            ({}, 401),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://localhost:9999"}, 403),
            ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, 401),
            ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-site"}, 401),
        ):
            problem(guarded.post("/v1/plays", json=body, headers=headers), status)
        evil = {"Sec-Fetch-Site": "cross-site"}
        assert guarded.get("/song?item=s1", headers=evil).status_code == 303
        assert guarded.post("/enter", headers={"Origin": "http://evil.example"}).status_code == 403

    def test_a_key_that_may_only_ask(self, tokens: dict[str, str], guarded: TestClient) -> None:
        guarded.cookies.set(COOKIE, tokens["read"])
        assert 'data-may-change=""' in guarded.get("/").text
        own = {"Origin": "http://localhost"}
        problem(guarded.post("/v1/plays", json={"plays": []}, headers=own), 403)
        guarded.cookies.set(COOKIE, tokens["write"])
        assert 'data-may-change="yes"' in guarded.get("/").text
