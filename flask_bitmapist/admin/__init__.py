"""Tabs for an existing Flask-Admin: the same pages, in its layout and theme."""

from __future__ import annotations

from .surface import AdminSurface
from .views import (
    CohortView,
    EventsView,
    FunnelView,
    LifecycleView,
    OverviewView,
    PageView,
    StickinessView,
    TrendsView,
    UsersView,
    add_views,
)

__all__ = [
    "AdminSurface",
    "CohortView",
    "EventsView",
    "FunnelView",
    "LifecycleView",
    "OverviewView",
    "PageView",
    "StickinessView",
    "TrendsView",
    "UsersView",
    "add_views",
]
