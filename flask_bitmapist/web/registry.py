"""All pages, in the order of the menu.  A new page is registered here, once."""

from __future__ import annotations

from ..questions.funnel import Funnel
from ..questions.trend import Trend
from .page import QuestionPage
from .pages import Page
from .questions import (
    cohort,
    events,
    lifecycle,
    overview,
    stickiness,
    user,
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
FUNNEL = QuestionPage(Funnel)
STICKINESS = Page(
    name="stickiness",
    title=lazy("Stickiness"),
    form=stickiness.StickinessForm,
    template="bitmapist/stickiness.html",
    icon="fa-magnet",
    present=stickiness.present,
)
USERS = Page(
    name="users",
    title=lazy("Users"),
    form=user.UserForm,
    template="bitmapist/users.html",
    icon="fa-user",
    present=user.present,
    is_private=True,
)
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
    *(FUNNEL, STICKINESS, USERS, EVENTS),
)
