"""Right and wrong calls of the questions' methods: mypy reads them, nobody runs them.

Where a wrong call is not told apart, its comment is one too many, which mypy says.
"""

from __future__ import annotations

from datetime import date
from typing import assert_type

from flask_bitmapist import Event, FlaskBitmapist
from tests.inside import CohortAnswer, Trend, TrendAnswer, UserSet

query = FlaskBitmapist().query

# Right ones.
assert_type(query.cohort("a"), CohortAnswer)
assert_type(query.cohort("a", "b", time_group="week", num_rows=4), CohortAnswer)
assert_type(query.cohort(Event("a") & Event("b"), returned="first"), CohortAnswer)
assert_type(query.trend(["a", Event("b")], rolling=[7, 28]), TrendAnswer)
assert_type(query(Trend(["a"], as_of=date(2026, 11, 18))), TrendAnswer)
assert_type(query.trend(["a"], as_of="2026-11-18").users(period="2026-W44"), UserSet)
assert_type(query.cohort("a").users(period="2026-W44", column=1), UserSet)
assert_type(query.count("a", "months"), int)
assert_type(query.has("ana@example.org", "a"), bool)
assert_type(query.users("a", allow_unknown=True), UserSet)
query.lifecycle("a", num_periods=4)
query.funnel(["a", "b"], window=3)
query.stickiness("a", window="month")
query.person(5, num_days=7)

# Wrong ones.
query.cohort()  # type: ignore[call-arg]
query.cohort("a", "b", "weeks")  # type: ignore[call-arg]
query.cohort("a", rows=4)  # type: ignore[call-arg]
query.cohort("a", num_rows="4")  # type: ignore[arg-type]
query.cohort("a", returned="often")  # type: ignore[arg-type]
query.cohort("a", time_group="fortnights")  # type: ignore[arg-type]
query.cohort(5)  # type: ignore[arg-type]
query.trend()  # type: ignore[call-arg]
query.trend(["a"], rolling=7)  # type: ignore[arg-type]
query.trend(["a"], as_of=5)  # type: ignore[arg-type]
query.trend(["a"]).users(row=1)  # type: ignore[call-arg]
query.cohort("a").users(period="2026-W44", column="1")  # type: ignore[arg-type]
query.lifecycle("a", first_time=True)  # type: ignore[call-arg]
query.funnel(["a", "b"], window="long")  # type: ignore[arg-type]
query.stickiness("a", window="year")  # type: ignore[arg-type]
query.person()  # type: ignore[call-arg]
query.count("a", 5)  # type: ignore[arg-type]
query.has("a")  # type: ignore[call-arg]
query.users("a", allow_unknown="yes")  # type: ignore[arg-type]
Trend(["a"], num_period=3)  # type: ignore[call-arg]
