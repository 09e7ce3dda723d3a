"""Every way in which Redis may fail, under a load of concurrent requests."""

from __future__ import annotations

import pytest

from benchmarks.faults import SCENARIOS, TIMEOUT, Scenario, fill_buffer, run

# What the machine itself may take, on which much else runs.
SLACK = 2.0


@pytest.mark.parametrize("mode", ["sync", "background"])
@pytest.mark.parametrize("kind", SCENARIOS, ids=lambda kind: kind.title)
def test_no_request_fails_or_waits_and_no_mark_is_lost(
    kind: type[Scenario], mode: str
) -> None:
    outcome = run(kind, mode=mode, threads=4, requests=100)

    assert outcome.sent >= 300
    assert outcome.failed == 0
    # Once for a connection and once for the replies.
    assert outcome.slowest < 2 * TIMEOUT + SLACK
    assert outcome.lost == 0
    counters = outcome.counters
    assert counters["marked"] == counters["written"] == outcome.sent
    assert counters["dropped"] == 0


@pytest.mark.parametrize("mode", ["sync", "background"])
def test_memory_stays_flat_once_the_buffer_is_full(mode: str) -> None:
    full = fill_buffer(250, 1500, mode)

    assert (full.waiting, full.dropped) == (250, 1600)
    assert full.grown < 150_000, "a hundred bytes for each mark that is dropped"
