"""A small record shop that knows its customers, to see Flask-Bitmapist at work."""

from __future__ import annotations

from .app import create_app

__all__ = ["create_app"]
