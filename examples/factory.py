"""An app factory with a blueprint: one extension object, marks where the views are.

flask --app examples.factory run
"""

from __future__ import annotations

from flask import Blueprint, Flask, session

from flask_bitmapist import FlaskBitmapist, mark

bitmapist = FlaskBitmapist()
bitmapist.define("engaged", "song:played and playlist:made")
music = Blueprint("music", __name__)


@music.get("/songs/<int:song_id>")
@mark("song:played", lambda song_id: session.get("user_id"))
def play(song_id: int) -> str:
    """Play a song; visitors without a session are not counted."""
    return f"Playing song {song_id}."


@music.post("/playlists")
@mark("playlist:made", lambda: session.get("user_id"))
def make_playlist() -> tuple[str, int]:
    """Make a playlist."""
    return "Made.", 201


def create_app(**config: object) -> Flask:
    """Make the app.

    Args:
        **config: Settings that come before those of the environment (``FLASK_…``).
    """
    app = Flask(__name__)
    app.config.from_mapping(SECRET_KEY="change me")
    app.config.from_prefixed_env()
    app.config.from_mapping(config)
    bitmapist.init_app(app)
    app.register_blueprint(music)
    return app
