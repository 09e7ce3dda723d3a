"""All pages, in the order of the menu.  A new page is registered here, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..questions.cohort import Cohort
from ..questions.events import Events
from ..questions.funnel import Funnel
from ..questions.lifecycle import Lifecycle
from ..questions.overview import Overview
from ..questions.person import Person
from ..questions.stickiness import Stickiness
from ..questions.trend import Trend
from ..questions.who import Count, Has, Users
from .legacy import CohortPage
from .page import QuestionPage
from .pages import Page

if TYPE_CHECKING:
    from ..state import BitmapistState

INDEX = QuestionPage(Overview)
COHORT = CohortPage(Cohort)
TRENDS = QuestionPage(Trend)
LIFECYCLE = QuestionPage(Lifecycle)
FUNNEL = QuestionPage(Funnel)
STICKINESS = QuestionPage(Stickiness)
PEOPLE = QuestionPage(Person)
EVENTS = QuestionPage(Events)

PAGES: tuple[Page | QuestionPage, ...] = (
    *(INDEX, COHORT, TRENDS, LIFECYCLE),
    *(FUNNEL, STICKINESS, PEOPLE, EVENTS),
)

ANSWERS = (QuestionPage(Count), QuestionPage(Has), QuestionPage(Users))
"""What answers in JSON and CSV alone, and stands in no menu."""


def pages_of(state: BitmapistState) -> tuple[Page | QuestionPage, ...]:
    """Return all pages of an app: the menu's, then those of its own questions."""
    return (*PAGES, *map(QuestionPage, state.own.values()))
