"""The demo: filled with real purchases, and everything on it works."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from html import unescape
from pathlib import Path
from urllib.request import urlopen

import pytest
import redis
from flask import Flask

from . import cdnow
from .inside import FIRST, LAST, REPLAYED_TO, yesterday
from .marks import eventually, recorder_of
from .servers import RedisProcess

pytest.importorskip("flask_admin", minversion="2.1")

from demo_app import create_app
from demo_app.__main__ import free_port

ROOT = Path(__file__).parents[1]
OPEN = {"TESTING": True, "BITMAPIST_ACCESS": "public"}


@pytest.fixture(scope="module")
def demo() -> Iterator[Flask]:
    """The demo, for tests that only look: to fill it takes a second."""
    with RedisProcess() as server:
        yield create_app({**OPEN, "BITMAPIST_REDIS_URL": server.url})


def test_it_is_filled_so_that_the_last_day_is_yesterday_and_says_so(
    demo: Flask,
) -> None:
    yesterday = datetime.now(tz=timezone.utc).date() - timedelta(days=1)
    query = demo.extensions["bitmapist"].query
    summary = demo.extensions["record_shop"].summary
    assert (summary.users, summary.rejected) == (2_357, 0)
    assert len(query.users("purchase", "days", as_of=yesterday)) == 2
    assert len(query.users("purchase", "days")) == 0
    page = demo.test_client().get("/").text
    assert f"{yesterday:%-d %B %Y}" in page
    assert "30 June 1998" in page


def test_every_purchase_is_replayed_on_its_day(demo: Flask) -> None:
    buyers: dict[date, set[int]] = {}
    purchases = [mark for mark in cdnow.marks() if mark.event == "purchase"]
    for mark in purchases:
        buyers.setdefault(mark.at.date(), set()).add(mark.user)
    assert len(purchases) == 6_919
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]

    trend = demo.extensions["bitmapist"].query.trend(
        "purchase", time_group="days", num_periods=len(days), as_of=yesterday()
    )
    assert list(trend.series[0].counts) == [len(buyers.get(day, ())) for day in days]


def test_filling_a_store_twice_changes_nothing(demo: Flask) -> None:
    url = demo.extensions["bitmapist"].redis_url
    again = create_app({"BITMAPIST_REDIS_URL": url})
    assert again.extensions["record_shop"].summary.bits == 0


def test_a_store_that_was_filled_on_an_earlier_day_is_not_filled_a_second_time(
    redis_url: str, redis_client: redis.Redis
) -> None:
    last = yesterday() - timedelta(days=3)
    redis_client.set(REPLAYED_TO, last.isoformat())
    demo = create_app({"BITMAPIST_REDIS_URL": redis_url})
    query = demo.extensions["bitmapist"].query
    assert len(query.users("purchase", "days", as_of=last)) == 2
    assert len(query.users("purchase", "days", as_of=yesterday())) == 0
    page = " ".join(demo.test_client().get("/").text.split())
    assert "was the day before this store was filled" in page
    assert f"{last:%-d %B %Y}" in page


def test_every_link_of_the_first_page_leads_somewhere(demo: Flask) -> None:
    client = demo.test_client()
    links = set(re.findall(r'href="(/[^"]*)"', client.get("/").text))
    assert len(links) >= 16
    for link in links:
        with client.get(unescape(link)) as answer:
            assert answer.status_code == 200, link
            assert b"bm-alert" not in answer.data, link


def test_what_a_visitor_does_is_marked(redis_url: str) -> None:
    demo = create_app({**OPEN, "BITMAPIST_REDIS_URL": redis_url})
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


def test_the_pages_show_the_names_of_customers_and_lead_to_them(demo: Flask) -> None:
    page = demo.test_client().get("/admin/bitmapist/people/?user=157").text
    assert "Customer 157" in page
    links = re.findall(r'href="(/admin/customers/details/[^"]*)"', page)
    assert links
    assert "customer-157@example.com" in demo.test_client().get(unescape(links[0])).text


@pytest.mark.parametrize("path", ["/", "/login"])
def test_the_pages_of_the_shop_carry_no_scripts_or_styles_inline(
    demo: Flask, path: str
) -> None:
    page = demo.test_client().get(path).text
    assert re.findall(r"<script|<style|\sstyle=|\son\w+=|javascript:", page) == []
    assert re.findall(r'(?:src|href|action)="(?:https?:)?//', page) == []


def test_while_redis_is_down_the_shop_goes_on_and_the_purchase_arrives_later(
    redis_process: RedisProcess,
) -> None:
    demo = create_app({**OPEN, "BITMAPIST_REDIS_URL": redis_process.url})
    client = demo.test_client()
    assert redis_process.url in client.get("/").text
    client.post("/login", data={"name": "Ada", "password": "demo"})

    redis_process.kill()
    assert "is yours" in client.post("/buy/blue", follow_redirects=True).text
    analytics = client.get("/bitmapist/events")
    assert analytics.status_code == 503
    assert "Not available right now" in analytics.text

    redis_process.start()
    eventually(recorder_of(demo).flush, "the purchase is written")
    query = demo.extensions["bitmapist"].query
    assert list(query.users("purchase")) == [2_358]


def test_browsers_find_an_icon(demo: Flask) -> None:
    with demo.test_client().get("/favicon.ico", follow_redirects=True) as answer:
        assert answer.mimetype == "image/svg+xml"


def start(**environment: str) -> subprocess.Popen[str]:
    # What is started in the background of a shell ignores Ctrl-C, and so would all that
    # it starts; a signal that has a handler here has its usual meaning there.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "demo_app", "--port", "0"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_started_it_prints_its_address_and_ctrl_c_stops_it() -> None:
    with start(BITMAPIST_REDIS_URL="memory://") as process:
        assert process.stdout is not None
        try:
            found = None
            while not found:
                line = process.stdout.readline()
                assert line, process.communicate()[1]
                found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            with urlopen(found[0]) as answer:
                assert answer.status == 200
            question = "bitmapist/cohort?primary_event=purchase&format=json"
            with urlopen(found[0] + question + "&secondary_event=purchase") as answer:
                assert answer.headers.get_content_type() == "application/json"
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "Stopped." in output
    assert errors == ""
    assert process.returncode == 0


@pytest.mark.parametrize("url", ["redis://:hunter2@127.0.0.1:1", "http://:hunter2@a"])
def test_a_store_that_cannot_be_used_is_told_without_a_stack_trace(url: str) -> None:
    with start(BITMAPIST_REDIS_URL=url) as process:
        _, errors = process.communicate()
    assert process.returncode == 1
    assert "BITMAPIST_REDIS_URL" in errors
    assert "Traceback" not in errors
    assert "hunter2" not in errors
