"""All pages, in the order of the menu.  A new page is registered here, once."""

from __future__ import annotations

from ..questions.person import Person
from ..questions.trend import Trend
from ..questions.who import Count, Has, Users
from .page import QuestionPage
from .pages import Page
from .questions import (
    cohort,
    events,
    funnel,
    lifecycle,
    overview,
    stickiness,
)
from .texts import lazy

INDEX = Page(
    name="index",
    title=lazy("Overview"),
    form=overview.OverviewForm,
    template="bitmapist/index.html",
    icon="fa-dashboard",
    present=overview.present,
    rule="/",
)
COHORT = Page(
    name="cohort",
    title=lazy("Cohort"),
    form=cohort.CohortForm,
    template="bitmapist/cohort.html",
    fragment="bitmapist/_heatmap.html",
    icon="fa-th",
    present=cohort.present,
)
TRENDS = QuestionPage(Trend)
LIFECYCLE = Page(
    name="lifecycle",
    title=lazy("Lifecycle"),
    form=lifecycle.LifecycleForm,
    template="bitmapist/lifecycle.html",
    icon="fa-refresh",
    present=lifecycle.present,
)
FUNNEL = Page(
    name="funnel",
    title=lazy("Funnel"),
    form=funnel.FunnelForm,
    template="bitmapist/funnel.html",
    icon="fa-filter",
    present=funnel.present,
)
STICKINESS = Page(
    name="stickiness",
    title=lazy("Stickiness"),
    form=stickiness.StickinessForm,
    template="bitmapist/stickiness.html",
    icon="fa-magnet",
    present=stickiness.present,
)
PEOPLE = QuestionPage(Person)
EVENTS = Page(
    name="events",
    title=lazy("Events"),
    form=events.EventsForm,
    template="bitmapist/events.html",
    icon="fa-list",
    present=events.present,
)

PAGES: tuple[Page | QuestionPage, ...] = (
    *(INDEX, COHORT, TRENDS, LIFECYCLE),
    *(FUNNEL, STICKINESS, PEOPLE, EVENTS),
)

ANSWERS = (QuestionPage(Count), QuestionPage(Has), QuestionPage(Users))
"""What answers in JSON and CSV alone, and stands in no menu."""
