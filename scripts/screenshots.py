"""Make the screenshots of docs/images/: every page of the demo, on both surfaces.

    python scripts/screenshots.py [--out FOLDER]

Needs the demo's packages, Playwright, Pillow and a Chromium on PATH.  The demo keeps
its events in this process, so nothing else is touched.
"""

from __future__ import annotations

import argparse
import io
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from demo_app.app import create_app

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LARGEST = 150_000
"""Most bytes of a picture."""

# The purchases are replayed so that the last day is yesterday.
AS_OF = (datetime.now(tz=timezone.utc) - timedelta(days=1)).date().isoformat()

QUESTIONS = {
    "index": f"?as_of={AS_OF}",
    "cohort": f"?primary_event=purchase&time_group=months&num_rows=18&as_of={AS_OF}",
    "trends": "?events-0=purchase&events-1=multi&events-2=big&time_group=weeks"
    f"&num_periods=52&as_of={AS_OF}",
    "lifecycle": f"?event=purchase&time_group=months&num_periods=18&as_of={AS_OF}",
    "funnel": "?steps-0=purchase&steps-1=multi&steps-2=big&time_group=months"
    f"&num_periods=18&window=6&as_of={AS_OF}",
    "stickiness": f"?event=purchase&num_days=30&as_of={AS_OF}",
    "people": f"?user=19&num_days=365&as_of={AS_OF}",
    "events": f"?as_of={AS_OF}",
}

COMPARED = {
    "cohort": "&segments=regulars&segments=everyone else",
    "trends": "&segments=regulars&segments=big spenders&segments=everyone else",
    "funnel": "&segments=regulars&segments=everyone else",
}
"""The same questions, asked of groups of users."""


class Shot(NamedTuple):
    """One picture."""

    name: str
    path: str
    width: int = 1280
    height: int = 1700
    scheme: str = "light"


def shots() -> Iterator[Shot]:
    """Yield what is to be shot."""
    for name, question in QUESTIONS.items():
        alone = f"/bitmapist/{'' if name == 'index' else name}{question}"
        tab = f"/admin/bitmapist/{name}/{question}"
        title = "overview" if name == "index" else name
        yield Shot(title, alone)
        yield Shot(f"{title}-admin", tab)
        yield Shot(f"{title}-dark", alone, scheme="dark")
        yield Shot(f"{title}-phone", alone, width=390)
    for name, groups in COMPARED.items():
        alone = f"/bitmapist/{name}{QUESTIONS[name]}{groups}"
        yield Shot(f"{name}-groups", alone)
        yield Shot(f"{name}-groups-phone", alone, width=390)


@contextmanager
def served() -> Iterator[str]:
    """Serve the demo and give its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = create_app({"BITMAPIST_REDIS_URL": "memory://", "BITMAPIST_ACCESS": "public"})
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def take(browser: Any, address: str, shot: Shot, folder: Path) -> Path:
    """Take one picture, cut to its height."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": 800}, color_scheme=shot.scheme
    )
    page = context.new_page()
    page.goto(address + shot.path)
    page.wait_for_load_state("networkidle")
    whole = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": shot.width, "height": min(whole, shot.height)})
    page.wait_for_timeout(100)  # charts are drawn again at their new size
    path = folder / f"{shot.name}.png"
    picture = Image.open(io.BytesIO(page.screenshot()))
    context.close()
    # A palette makes a third of it, and nobody sees the difference.
    picture.convert("RGB").quantize(colors=160).save(path, optimize=True)
    return path


def main() -> None:
    """Take all pictures."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    folder = options.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        raise SystemExit(f"no browser on PATH (looked for {', '.join(BROWSERS)})")
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        for shot in shots():
            path = take(browser, address, shot, folder)
            size = path.stat().st_size
            print(f"{path.name}: {size:,} bytes")
            if size > LARGEST:
                raise SystemExit(f"{path} is larger than {LARGEST:,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
