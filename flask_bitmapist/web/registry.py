"""All pages, in the order of the menu.  A new page is registered here, once."""

from __future__ import annotations

from .eventlist import EventListForm
from .forms import CohortForm
from .heat import cohort_context
from .pages import Page
from .texts import lazy

INDEX = Page(
    name="index",
    title=lazy("Overview"),
    form=EventListForm,
    template="bitmapist/index.html",
    icon="fa-dashboard",
    rule="/",
)
COHORT = Page(
    name="cohort",
    title=lazy("Cohort"),
    form=CohortForm,
    template="bitmapist/cohort.html",
    fragment="bitmapist/_heatmap.html",
    icon="fa-th",
    present=cohort_context,
)

PAGES: tuple[Page, ...] = (INDEX, COHORT)
