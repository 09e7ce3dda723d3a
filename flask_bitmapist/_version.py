"""The version, for the package and for its metadata."""

__version__ = "1.0.0.dev0"
