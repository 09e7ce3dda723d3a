"""``python -m demo_app``: serve the demo on this machine alone."""

from __future__ import annotations

import argparse
import logging
import socket
import threading

from redis.exceptions import RedisError
from werkzeug.serving import make_server

from flask_bitmapist import ConfigError

from .app import create_app

HOST = "127.0.0.1"
PORT = 5000


def free_port(preferred: int) -> int:
    """Return *preferred* if nothing listens there, else a free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("there is no free port")


def main() -> None:
    """Serve until Ctrl-C."""
    options = argparse.ArgumentParser(prog="demo_app", description=__doc__)
    options.add_argument("--port", type=int, default=PORT)
    given = options.parse_args()
    print("Filling the shop with the purchases of 2,357 real customers ...", flush=True)
    try:
        app = create_app()
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    except RedisError as error:
        raise SystemExit(f"The Redis of BITMAPIST_REDIS_URL fails: {error}") from None
    server = make_server(HOST, free_port(given.port), app, threaded=True)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    print(
        f"\n  The demo runs at http://{HOST}:{server.server_port}/"
        "\n  Press Ctrl-C to stop it.\n",
        flush=True,
    )
    # Ctrl-C interrupts whatever the main thread is doing: that is nothing but waiting.
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        serving.join()
    except KeyboardInterrupt:
        server.shutdown()
    print("\nStopped.")


if __name__ == "__main__":
    main()
