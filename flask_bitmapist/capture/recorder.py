"""Writing marks to Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bitmapist

if TYPE_CHECKING:
    from redis import Redis

    from ..config import Settings


class Recorder:
    """Writes the marks of one app."""

    def __init__(self, settings: Settings, client: Redis) -> None:
        self.settings = settings
        self.client = client

    def record(self, event_name: str, user_id: int, **options: Any) -> None:
        bitmapist.mark_event(event_name, user_id, system=self.client, **options)
