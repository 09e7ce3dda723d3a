"""All pages, in the order of the menu.  A new page is registered here, once."""

from __future__ import annotations

from ..questions.cohort import Cohort
from ..questions.trend import Trend
from .legacy import CohortPage
from .page import QuestionPage
from .pages import Page
from .questions import (
    events,
    funnel,
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
COHORT = CohortPage(Cohort)
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
