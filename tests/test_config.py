"""Settings: their defaults, and what a wrong one is told."""

from __future__ import annotations

from dataclasses import fields

import pytest
from flask import Flask

from flask_bitmapist import ConfigError, FlaskBitmapist

from .inside import PREFIX, Settings, load

NAMES = [PREFIX + each.name.upper() for each in fields(Settings)]


def test_the_defaults_are_those_of_version_0_1_and_the_system_is_called_system() -> (
    None
):
    settings = load({}, {})
    assert settings.redis_system == "system"
    assert FlaskBitmapist(Flask("tracked")).redis_url == "redis://localhost:6379"
    assert settings.track_hourly is False
    assert settings.disable_blueprint is False


def test_settings_given_to_the_extension_come_before_those_of_the_app() -> None:
    settings = load(
        {"BITMAPIST_REDIS_SYSTEM": "app", "BITMAPIST_TRACK_HOURLY": True, "OTHER": 1},
        {"BITMAPIST_REDIS_SYSTEM": "given"},
    )
    assert (settings.redis_system, settings.track_hourly) == ("given", True)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_of_a_wrong_type_fails_at_start_with_the_settings_name(
    name: str,
) -> None:
    app = Flask("tracked")
    app.config[name] = object()
    with pytest.raises(ConfigError, match=name):
        FlaskBitmapist(app)
    assert "bitmapist" not in app.extensions


BAD: dict[str, list[object]] = {
    "redis_system": [""],
    "redis_url": ["", "localhost:6379", "http://localhost", "redis://localhost:port"],
    "redis_read_url": ["localhost:6379", "memory://"],
    "timezone": ["", "Mars/Olympus", "../etc/passwd", None],
    "week_start": ["tuesday", "", None],
    "track_hourly": ["no", "true", 2, None],
    "disable_blueprint": ["no"],
    "connect_timeout": [0],
    "read_timeout": [-1.0],
    "max_id": [-1, 2**32],
    "warn_bytes": [-1],
    "id_map": ["yes", 2],
    "user_id": ["id"],
    "on_error": ["explode"],
    "mark_mode": ["async"],
    "mark_timeout": [0],
    "retry_first": [0],
    "retry_max": [0.0],
    "buffer_size": [0],
    "batch_size": [0, 1.5],
    "flush_interval": [0],
    "spool_file": ["/nowhere/at/all/spool"],
    "login_events": ["off"],
    "everyone": ["signup and", "not signup", "signup never"],
    "exclude": ["flag(", "not flag(staff)", ["staff"]],
    "exclude_locked": ["no", None],
    "max_work": [-1, 10.5],
    "url_prefix": ["stats", "/stats/", "/<stats>"],
    "access": ["everybody", ["local"]],
    "api_tokens": [{"numbers": ["secret"]}, {"all": []}],
    "allow_delete": ["no"],
    "csp_nonce": ["nonce"],
    "user_url": ["/users/{name}", "/users/{"],
    "admin_user_view": [None],
    "jinja_name": ["two words", "in", None],
    "user_name": ["name"],
}
"""What no setting may be, beside what is of another type altogether."""


def test_there_is_a_bad_value_for_every_setting() -> None:
    assert BAD.keys() == {each.name for each in fields(Settings)}
    assert all(BAD.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (PREFIX + each.name.upper(), value)
        for each in fields(Settings)
        for value in BAD.get(each.name, ())
    ],
)
def test_a_value_that_cannot_be_used_fails_at_start_with_the_settings_name(
    name: str, value: object
) -> None:
    with pytest.raises(ConfigError, match=name):
        load({name: value}, {})
    with pytest.raises(ConfigError, match=name):
        load({}, {name: value})


def test_a_misspelt_setting_is_refused_with_the_nearest_one() -> None:
    misspelt = {"BITMAPIST_REDIS_URI": "redis://localhost", "OTHER_SETTING": 1}
    for app_config, given in ((misspelt, {}), ({}, misspelt)):
        with pytest.raises(ConfigError, match="did you mean BITMAPIST_REDIS_URL"):
            load(app_config, given)


def test_a_password_is_in_no_message_and_no_representation() -> None:
    url = "redis://user:hunter2@localhost:port"
    with pytest.raises(ConfigError) as error:
        load({"BITMAPIST_REDIS_URL": url}, {})
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None
    assert "hunter2" not in repr(load({"BITMAPIST_REDIS_URL": url[:-5]}, {}))


def test_every_setting_says_what_it_does() -> None:
    for each in fields(Settings):
        assert each.metadata["help"].rstrip(")").endswith("."), each.name
