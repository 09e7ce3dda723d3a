"""All pages: one for each question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..questions.cohort import Cohort
from ..questions.declare import AnyQuestion
from .legacy import CohortPage
from .page import QuestionPage

if TYPE_CHECKING:
    from ..state import BitmapistState


def page_of(question: AnyQuestion) -> QuestionPage:
    """Return the page of a question."""
    return CohortPage(question) if question is Cohort else QuestionPage(question)


def pages_of(state: BitmapistState) -> list[QuestionPage]:
    """Return the pages of an app that are in the menu, its own ones last."""
    return [page for page in endpoints_of(state) if page.has_html]


def endpoints_of(state: BitmapistState) -> list[QuestionPage]:
    """Return all pages of an app, those too that answer in JSON and CSV alone."""
    return [page_of(question) for question in state.query.questions()]
