"""Metadata of the package; the settings of its tools are in pyproject.toml."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from setuptools import Command, find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "flask_bitmapist" / "_version.py").read_text()
).group(1)

ADMIN = ["Flask-Admin>=2.0"]
MEMORY = ["fakeredis>=2.26"]
LOGIN = ["Flask-Login>=0.6.3"]
SQLALCHEMY = ["SQLAlchemy>=2.0.16", "Flask-SQLAlchemy>=3.1"]
BABEL = ["Flask-Babel>=4.0"]
CLI = ["rich>=13.0"]
DATAFRAME = ["pandas>=2.2.2"]
ASYNC = ["Flask[async]"]
# Older ones change how the whole process computes with floating-point numbers.
FAST = ["numkong>=7.3"]
MCP = ["mcp>=2.0"]
IMPORT = ["pyarrow>=17.0"]
# Its table of customers is given a way that Flask-Admin 2.0 does not take.
DEMO = ["Flask-Admin>=2.1", *MEMORY, *LOGIN, *SQLALCHEMY, *BABEL, *CLI]
# What apps run under and beside; the tests of them skip where one is missing.
HOSTS = [
    # Servers and job runners
    *("a2wsgi", "cheroot", "gevent", "gunicorn", "hypercorn", "uvicorn", "waitress"),
    'pyuwsgi; sys_platform != "win32"',
    *("celery", "rq"),
    # Extensions
    *("APIFlask", "Bootstrap-Flask", "Flask-Assets", "Flask-CORS", "Flask-Caching"),
    *("Flask-Compress", "Flask-DebugToolbar", "Flask-JWT-Extended"),
    *("Flask-Minify", "Flask-Moment", "Flask-Paranoid", "Flask-Principal"),
    *("Flask-RESTful", "Flask-SSLify", "Flask-SeaSurf", "Flask-Security-Too"),
    *("Flask-Session", "Flask-SocketIO", "flask-htmx", "flask-openapi3"),
    *("flask-restx", "flask-smorest", "flask-talisman"),
    # What watches an app
    *("ddtrace", "elastic-apm", "newrelic", "opentelemetry-instrumentation-flask"),
    *("prometheus-flask-exporter", "scout-apm", "sentry-sdk"),
]


class RunTests(Command):
    """``python setup.py test``: the same suite as ``make test``."""

    description = "run the test suite, here or in an environment made for it"
    user_options: ClassVar[list[tuple[str, str, str]]] = []

    def initialize_options(self):
        """Nothing to initialize."""

    def finalize_options(self):
        """Nothing to finalize."""

    def run(self):
        """Run the suite in a process of its own, and end as it ends."""
        if all(map(find_spec, ("bitmapist", "flask_admin", "playwright", "xdist"))):
            command = [sys.executable, "-m", "pytest", "-n", "auto"]
        else:
            command = ["make", "test", f"PYTHON={sys.executable}"]
        raise SystemExit(subprocess.call(command, cwd=HERE))


setup(
    name="Flask-Bitmapist",
    version=VERSION,
    description="A Flask app that knows its users' behaviour: exact, real-time "
    "analytics on Redis bitmaps",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["flask_bitmapist", "flask_bitmapist.*"]),
    # Not include_package_data: setuptools would take the folders for packages.
    include_package_data=False,
    package_data={
        "flask_bitmapist": [
            "py.typed",
            "templates/**/*",
            "static/**/*",
            "translations/**/*",
        ]
    },
    zip_safe=False,
    python_requires=">=3.11",
    install_requires=[
        "Flask>=3.0",
        "bitmapist>=3.117",
        "redis[hiredis]>=5.0",
        "WTForms>=3.1",
        "numpy>=2.0",
        # Windows has no time zones of its own.
        'tzdata; sys_platform == "win32"',
    ],
    extras_require={
        "admin": ADMIN,
        "memory": MEMORY,
        "login": LOGIN,
        "sqlalchemy": SQLALCHEMY,
        "babel": BABEL,
        "cli": CLI,
        "dataframe": DATAFRAME,
        "async": ASYNC,
        "fast": FAST,
        "mcp": MCP,
        "import": IMPORT,
        "demo": DEMO,
        "test": [
            *ADMIN,
            *MEMORY,
            *LOGIN,
            *SQLALCHEMY,
            *BABEL,
            *CLI,
            *DATAFRAME,
            *ASYNC,
            *FAST,
            *MCP,
            *IMPORT,
            # Extensions that look at every view, and at every form that is posted.
            "Flask-WTF>=1.2",
            # What a backfill reads from.
            "Flask-SQLAlchemy-Lite>=0.1",
            "psycopg[binary]>=3.1",
            "Flask-Limiter>=3.5",
            "hypothesis>=6.100",
            "jsonschema>=4.20",
            "mypy>=1.13",  # which calls of the questions' methods are right
            "openapi-spec-validator>=0.7",
            "playwright>=1.45",
            "pytest>=8.2",
            "pytest-randomly>=3.15",
            "pytest-xdist>=3.6",
            "pytest-cov>=7.0",
            "coverage>=7.10",  # the first that follows into processes by itself
            "setuptools>=70.1",  # builds wheels by itself from then on
        ],
        "docs": ["Sphinx>=7.3", "myst-parser>=3.0", "furo", "sphinx-click>=5.0"],
        "hosts": HOSTS,
        "lint": ["ruff>=0.9", "mypy>=1.13", "types-WTForms", "pandas-stubs"],
        "dist": ["build>=1.2", "check-manifest>=0.50", "twine>=6.1"],
        "tox": ["tox>=4.28"],
    },
    cmdclass={"test": RunTests},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Framework :: Flask",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: Dynamic Content",
        "Topic :: Internet :: Log Analysis",
        "Typing :: Typed",
    ],
)
