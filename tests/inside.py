"""Everything that tests take from below the package's public names.

As its rooms move, only this module follows.
"""

from __future__ import annotations

from flask_bitmapist.analysis import counting, united
from flask_bitmapist.analysis.bitmaps import Source, Stripe, sources_of, user_ids
from flask_bitmapist.analysis.counting import (
    Counting,
    NumKongCounting,
    NumpyCounting,
    fastest,
)
from flask_bitmapist.analysis.errors import BadMarkError
from flask_bitmapist.analysis.expressions import Named, Not, chain, require_bounded
from flask_bitmapist.analysis.parsing import MAX_DEPTH, MAX_LENGTH, parse
from flask_bitmapist.analysis.periods import AsOf, last_periods
from flask_bitmapist.analysis.results import Result, to_csv
from flask_bitmapist.capture import bulk, csvfile, marks, reports, writer
from flask_bitmapist.capture.bulk import LONGEST_EXAMPLE, ImportSummary, import_rows
from flask_bitmapist.capture.deletion import plan_deletion
from flask_bitmapist.capture.leftout import LeftOut
from flask_bitmapist.capture.marks import MAX_BYTES, Mark, bits_of, hour_of
from flask_bitmapist.capture.queue import Backoff
from flask_bitmapist.capture.reports import Reports
from flask_bitmapist.capture.spool import Spool
from flask_bitmapist.capture.timestamps import hour_in
from flask_bitmapist.cli.questions import command_of
from flask_bitmapist.config import PREFIX, Settings, load
from flask_bitmapist.identity import Identity, object_id, plain_id
from flask_bitmapist.questions.asking import Names
from flask_bitmapist.questions.cohort import Cohort, CohortAnswer
from flask_bitmapist.questions.declare import Param
from flask_bitmapist.questions.funnel import OUTCOMES, Funnel
from flask_bitmapist.questions.lifecycle import Lifecycle
from flask_bitmapist.questions.person import Person
from flask_bitmapist.questions.stickiness import Stickiness
from flask_bitmapist.questions.trend import Trend, TrendAnswer
from flask_bitmapist.questions.who import Count, Has, Users
from flask_bitmapist.store import diagnosis
from flask_bitmapist.store.budget import LEAST_BYTES, Budget
from flask_bitmapist.store.catalogue import EVENTS_KEY, Catalogue
from flask_bitmapist.store.connect import check_url, open_client, redact
from flask_bitmapist.store.errors import DamagedIdMapError, NotABitmapError
from flask_bitmapist.store.eventkeys import parse_key
from flask_bitmapist.store.idmap import IdMap, identity_of
from flask_bitmapist.store.keys import month_keys, redis_key
from flask_bitmapist.store.reader import BitmapReader
from flask_bitmapist.store.userset import UserSet
from flask_bitmapist.web.door import LOOKED_KEY, MOST_ANSWER, MOST_ARGUMENTS, MOST_BODY
from flask_bitmapist.web.page import QuestionPage
from flask_bitmapist.web.pages import page_of
from flask_bitmapist.web.shell import OPENED_BY

__all__ = [
    "EVENTS_KEY",
    "LEAST_BYTES",
    "LONGEST_EXAMPLE",
    "LOOKED_KEY",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MOST_ANSWER",
    "MOST_ARGUMENTS",
    "MOST_BODY",
    "OPENED_BY",
    "OUTCOMES",
    "PREFIX",
    "AsOf",
    "Backoff",
    "BadMarkError",
    "BitmapReader",
    "Budget",
    "Catalogue",
    "Cohort",
    "CohortAnswer",
    "Count",
    "Counting",
    "DamagedIdMapError",
    "Funnel",
    "Has",
    "IdMap",
    "Identity",
    "ImportSummary",
    "LeftOut",
    "Lifecycle",
    "Mark",
    "Named",
    "Names",
    "Not",
    "NotABitmapError",
    "NumKongCounting",
    "NumpyCounting",
    "Param",
    "Person",
    "QuestionPage",
    "Reports",
    "Result",
    "Settings",
    "Source",
    "Spool",
    "Stickiness",
    "Stripe",
    "Trend",
    "TrendAnswer",
    "UserSet",
    "Users",
    "bits_of",
    "bulk",
    "chain",
    "check_url",
    "command_of",
    "counting",
    "csvfile",
    "diagnosis",
    "fastest",
    "hour_in",
    "hour_of",
    "identity_of",
    "import_rows",
    "last_periods",
    "load",
    "marks",
    "month_keys",
    "object_id",
    "open_client",
    "page_of",
    "parse",
    "parse_key",
    "plain_id",
    "plan_deletion",
    "redact",
    "redis_key",
    "reports",
    "require_bounded",
    "sources_of",
    "to_csv",
    "united",
    "user_ids",
    "writer",
]
