"""Marks that stand on a view, and what they come to in a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .arguments import resolver

if TYPE_CHECKING:
    from .bits import Mark
    from .recorder import Recorder


class PlannedMark:
    """One ``mark`` on a view; the arguments are those of the decorator."""

    __slots__ = (
        "_event",
        "_now",
        "_user",
        "on_success",
        "system",
        "track_hourly",
        "track_unique",
        "use_pipeline",
    )

    def __init__(
        self,
        event_name: Any,
        uuid: Any,
        *,
        system: Any,
        now: Any,
        track_hourly: bool | None,
        use_pipeline: bool,
        track_unique: bool | None,
        on_success: bool,
    ) -> None:
        self._event = resolver(event_name)
        self._user = resolver(uuid)
        self._now = resolver(now)
        self.system = system
        self.track_hourly = track_hourly
        self.use_pipeline = use_pipeline
        self.track_unique = track_unique
        self.on_success = on_success

    def resolve(self, recorder: Recorder, arguments: Mapping[str, Any]) -> Mark | None:
        """Return the mark for one call of the view, or None if there is none."""
        event = None
        try:
            event = self._event(arguments)
            user = self._user(arguments)
            now = self._now(arguments)
            return recorder.mark(event, user, now, self.track_hourly, self.track_unique)
        except Exception as error:
            recorder.reports.rejected(error, event)
            return None


def resolved(
    recorder: Recorder, planned: Sequence[PlannedMark], arguments: Mapping[str, Any]
) -> Iterator[tuple[PlannedMark, list[Mark]]]:
    """Yield the marks of one call, those that go in one round trip together.

    Args:
        recorder: Makes the marks.
        planned: What stands on the view.
        arguments: The view's arguments.

    Returns:
        The first that was planned of those that go together, and their marks.
    """
    start = 0
    while start < len(planned):
        first = planned[start]
        end = start + 1
        while end < len(planned) and _go_together(first, planned[end]):
            end += 1
        found = [each.resolve(recorder, arguments) for each in planned[start:end]]
        marks = [mark for mark in found if mark is not None]
        if marks:
            yield first, marks
        start = end


def _go_together(one: PlannedMark, other: PlannedMark) -> bool:
    return one.use_pipeline and other.use_pipeline and one.system == other.system
