"""Marks and questions over an encrypted connection."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from flask import Flask

from flask_bitmapist import mark_event

from .kinds import AS_OF, answers_when_marked
from .servers import RedisProcess, free_port

MakeApp = Callable[..., Flask]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost's own, and its key beside it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(path.with_suffix(".key")), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    """The port of a server that takes encrypted connections there."""
    port = free_port()
    server = RedisProcess(
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(certificate)),
        *("--tls-key-file", str(certificate.with_suffix(".key"))),
    )
    try:
        try:
            server.start()
        except RuntimeError:
            pytest.skip("this redis-server was built without TLS")
        yield port
    finally:
        server.stop()


def test_marks_and_every_question_work_as_on_a_plain_connection(
    port: int, certificate: Path, make_app: MakeApp
) -> None:
    trusted = f"ssl_ca_certs={quote(str(certificate))}"
    secure = make_app(BITMAPIST_REDIS_URL=f"rediss://localhost:{port}?{trusted}")
    assert answers_when_marked(secure) == answers_when_marked(make_app())


def test_large_bitmaps_come_whole_over_it(
    port: int, certificate: Path, make_app: MakeApp
) -> None:
    trusted = f"ssl_ca_certs={quote(str(certificate))}"
    app = make_app(BITMAPIST_REDIS_URL=f"rediss://localhost:{port}?{trusted}")
    users = [0, 1_999_999, 2_000_000, 20_000_000]
    with app.app_context():
        for user in users:
            mark_event("a", user, now=AS_OF)
        query = app.extensions["bitmapist"].query
        assert list(query.users("a", "days", as_of=AS_OF)) == users
        result = query.cohort("a", "a", time_group="days", num_rows=3, as_of=AS_OF)
        assert result.sizes == (0, 0, 4)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    port: int, make_app: MakeApp
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=f"rediss://localhost:{port}")
    with (
        app.app_context(),
        pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        app.extensions["bitmapist"].query.count("a", "days", as_of=AS_OF)
