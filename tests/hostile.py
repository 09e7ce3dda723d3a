"""Input as an attacker would write it, and what no answer to it may hold."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from hypothesis import strategies as st

MARK = "bmxss"
"""In all input that tries to become code; nothing that a page means is called so."""

MARKUP = [
    f"<{MARK}>",
    f'"><{MARK} a="',
    f"'><{MARK} a='",
    f'" on{MARK}="1',
    f"' on{MARK}='1",
    f" on{MARK}=1 ",
    f"</script><{MARK}>",
    f"</title></textarea></select></option><{MARK}>",
    f"<!--{MARK}",
    f"--><{MARK}>",
    f"&lt;{MARK}&gt;",
    f"&#60;{MARK}&#62;",
    f"<script>{MARK}()</script>",
    f"javascript:{MARK}()",
    f"data:text/html,<{MARK}>",
    f"//{MARK}.example/",
    f"https://{MARK}.example/",
    f"\\\\{MARK}.example",
    f"{{{{ {MARK} }}}}{{% raise %}}",
    f"%({MARK})s %s %n",
    f"\r\nX-{MARK}: 1\r\n\r\n<{MARK}>",
    f"\x00<{MARK}>",
    f"＜{MARK}＞",
    f"{MARK}\u2028\u2029\u202e\ufeff",
]
FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", " =1", '="a"']
NUMBERS = [
    *(
        "0",
        "-1",
        "1e9",
        "NaN",
        "Infinity",
        "9" * 5000,
        "٣",
        "１２",
        "1_0",
        " 7 ",
        "0x10",
    ),
    *("4294967295", "4294967296", "99999999999999999999", "-0", "1.5", "400", "401"),
]
DATES = [
    *("1970-01-01", "1969-12-31", "9999-12-31", "0001-01-01", "0000-00-00"),
    *("2024-02-30", "2026-W53", "2026-11-23T25:00", "10000-01-01", "today"),
]
OTHER = [
    *("", "\x00", "%", "*", "[", "\\", "\ufffd", "\U0010ffff", "a" * 1024, "y"),
    *(
        "a" * 1025,
        "a" * 10_000,
        "__class__",
        "purchase",
        "days",
        "json",
        "csv",
        "html",
        "or",
    ),
    *("../../../etc/passwd", "purchase:*", "trackist_purchase_2026-1", "and or not"),
]

NASTY = st.sampled_from([*MARKUP, *FORMULAS, *NUMBERS, *DATES, *OTHER])
TEXT = st.one_of(NASTY, NASTY, st.text(max_size=20))

FIELDS = sorted(
    {
        *("primary_event", "secondary_event", "additional_events-0-name", "event"),
        *("additional_events-0-op", "additional_events-99999999999-name", "time_group"),
        *("num_rows", "num_cols", "num_periods", "num_days", "as_of", "format", "page"),
        *("per_page", "period", "column", "stage", "step", "lost", "days", "active"),
        *("events-0", "events-x", "steps-0", "steps-1", "window", "user_id", "flag"),
        *("events", "steps", "user", "rolling", "returned", "within", "cells"),
        *("outcome", "allow_unknown", "typed", "typed_in", "caret"),
        *("q", "add", "remove", "preset", "json", "unbounded", "as_percent"),
        *("rolling_7", "with_replacement", "first_time", "at_least", "refresh"),
        *("_external", "_scheme", "_anchor", "_method", "endpoint", "self", "page_"),
        *("url", "next", "cls", "name", "nonce", f"<{MARK}>", ""),
    }
)

HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Accept": st.sampled_from(
            [
                *("*/*", "application/json", "text/csv", "application/json;q=nan"),
                *(";;;,,,", "text/html;q=1e999", "a/b;" * 3000, "a", f"<{MARK}>/*"),
            ]
        ),
        "Accept-Language": st.sampled_from(["de", "../../x", f"<{MARK}>", "x" * 9000]),
        "Host": st.sampled_from(
            [
                *(f"{MARK}.example", f"{MARK}.example:99999", f'a"><{MARK}>', "[::1"),
                *("", "localhost", "a" * 5000, f"x@{MARK}.example", f"{MARK}.example/"),
            ]
        ),
        "Referer": st.just(f"https://{MARK}.example/"),
        "X-Forwarded-Host": st.just(f"{MARK}.example"),
        "X-Forwarded-Prefix": st.just(f"//{MARK}.example"),
        "X-HTTP-Method-Override": st.sampled_from(["DELETE", "POST"]),
        "X-Requested-With": st.just("XMLHttpRequest"),
        "Cookie": st.sampled_from([f"session=<{MARK}>", "session=" + "a" * 4000]),
        "If-None-Match": st.sampled_from(["*", '"' * 99]),
        "If-Modified-Since": st.sampled_from(["x", "Thu, 99 Jan 9999 99:99:99 GMT"]),
        "Range": st.sampled_from(["bytes=0-0", "bytes=9-1", "bytes=-99999999999999"]),
    },
)

# Where a browser takes what stands in an attribute for an address or for code.
_ADDRESSES = {"href", "src", "action", "formaction", "srcset", "poster", "data", "cite"}


class _Code(HTMLParser):
    """Collects what a browser would act upon."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.addresses: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        for name, value in attrs:
            self.found.append(name)
            if name in _ADDRESSES:
                self.addresses.append(value or "")
            if name.startswith("on") or name in ("style", "http-equiv", "srcdoc"):
                self.found.append(value or "")
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(data)

    def handle_decl(self, decl: str) -> None:
        self.found.append(decl)

    def unknown_decl(self, data: str) -> None:
        self.found.append(data)

    def handle_pi(self, data: str) -> None:
        self.found.append(data)


def check_html(html: str) -> None:
    """Fail if any element, attribute, script or comment of a page is from input."""
    page = _Code()
    page.feed(html)
    page.close()
    assert not [each for each in page.found if MARK in each.lower()]
    for address in page.addresses:
        check_address(address)
    assert "Traceback (most recent call last)" not in html


def check_address(address: str) -> None:
    """Fail if an address leads away from the app, or runs code."""
    # Flask itself names the host, where it only corrects a path.
    plain = address.strip().removeprefix("http://localhost")
    if plain == "javascript:void(0)":  # in Flask-Admin's own menu
        return
    # Browsers take a backslash for a slash.
    assert not plain.replace("\\", "/").startswith("//"), address
    assert urlsplit(plain).scheme in ("", "data"), address
    if plain.startswith("data:"):
        assert plain.startswith("data:image/"), address


def check_csv(text: str) -> None:
    """Fail if a spreadsheet would take a cell for a formula."""
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            is_number = re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell)
            if not is_number:
                assert not re.match(r"\s*[=+\-@＝＋－＠]|[\t\r\n]", cell), cell


def check_response(
    response: Any, statuses: set[int] | None = None, has_session: bool = False
) -> None:
    """Fail if an answer breaks, or holds anything that input made code of."""
    allowed = statuses or {200, 301, 302, 304, 308, 400, 404, 405, 413, 415}
    assert response.status_code in allowed, response.status_code
    for name, value in response.headers:
        assert MARK not in name.lower()
        assert "\n" not in value
        assert "\r" not in value
        assert name != "Set-Cookie" or (has_session and value.startswith("session="))
    if "Location" in response.headers:
        # Werkzeug names the host itself when it merges slashes.
        location = response.headers["Location"].removeprefix("http://localhost")
        assert location.startswith(("/bitmapist/", "/admin/")), location
    if "Content-Disposition" in response.headers:
        pattern = r'(attachment; filename="[A-Za-z0-9.-]+\.csv")|(inline; .*)'
        assert re.fullmatch(pattern, response.headers["Content-Disposition"])
    if response.mimetype == "text/html":
        check_html(response.text)
    elif response.mimetype == "text/csv":
        check_csv(response.text)
    elif response.mimetype == "application/json" and response.request.method != "HEAD":
        json.loads(response.text)
        assert "<" not in response.text
