"""The demo: filled with real purchases, and everything on it works."""

from __future__ import annotations

import re
import socket
from datetime import datetime, timedelta, timezone
from html import unescape

import pytest
from flask import Flask

from demo_app import create_app
from demo_app.__main__ import free_port


@pytest.fixture
def demo(redis_url: str) -> Flask:
    return create_app({"TESTING": True, "BITMAPIST_REDIS_URL": redis_url})


def test_it_is_filled_so_that_the_last_day_is_yesterday_and_says_so(
    demo: Flask,
) -> None:
    yesterday = datetime.now(tz=timezone.utc).date() - timedelta(days=1)
    query = demo.extensions["bitmapist"].query
    summary = demo.extensions["record_shop"].summary
    assert (summary.users, summary.rejected) == (2_357, 0)
    assert len(query.users("purchase", "days", yesterday)) == 2
    assert len(query.users("purchase", "days")) == 0
    page = demo.test_client().get("/").text
    assert f"{yesterday:%-d %B %Y}" in page
    assert "30 June 1998" in page


def test_filling_a_store_twice_changes_nothing(redis_url: str, demo: Flask) -> None:
    again = create_app({"BITMAPIST_REDIS_URL": redis_url})
    assert again.extensions["record_shop"].summary.bits == 0


def test_every_link_of_the_first_page_leads_somewhere(demo: Flask) -> None:
    client = demo.test_client()
    links = set(re.findall(r'href="(/[^"]*)"', client.get("/").text))
    assert len(links) >= 6
    for link in links:
        with client.get(unescape(link)) as answer:
            assert answer.status_code == 200, link


def test_what_a_visitor_does_is_marked(demo: Flask) -> None:
    client = demo.test_client()
    client.post("/buy/blue")
    query = demo.extensions["bitmapist"].query
    assert list(query.users("purchase")) == [], "nobody is logged in"

    client.post("/login", data={"name": "Ada", "password": "demo"})
    client.post("/buy/blue")
    client.post("/play/no-such-record")
    assert list(query.users("purchase")) == [2_358]
    assert list(query.users("song:played")) == [2_358]
    assert "Marked: purchase by customer 2358." in client.get("/").text


@pytest.mark.parametrize(
    "given", [{}, {"name": "Ada"}, {"name": "Nobody", "password": "demo"}]
)
def test_a_wrong_login_is_told_so(demo: Flask, given: dict[str, str]) -> None:
    answer = demo.test_client().post("/login", data=given, follow_redirects=True)
    assert "not one of the visitors" in answer.text


def test_the_customers_are_in_the_admin(demo: Flask) -> None:
    page = demo.test_client().get("/admin/customers/?search=customer-2357").text
    assert "Customer 2357" in page


def test_the_embedded_store_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITMAPIST_REDIS_URL", raising=False)
    demo = create_app()
    assert demo.extensions["bitmapist"].redis_url == "memory://"
    assert "In a store inside this process" in demo.test_client().get("/").text


def test_a_password_of_the_store_is_not_shown(redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis://default:hunter2@")
    demo = create_app({"BITMAPIST_REDIS_URL": url})
    assert "hunter2" not in demo.test_client().get("/").text


def test_another_port_is_taken_where_the_usual_one_is_in_use() -> None:
    taken = free_port(0)
    assert free_port(taken) == taken
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", taken))
        holder.listen()
        assert free_port(taken) != taken
