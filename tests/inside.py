"""Everything that tests take from below the package's public names.

As its rooms move, only this module follows.
"""

from __future__ import annotations

from flask_bitmapist.analysis import counting, united
from flask_bitmapist.analysis.bitmaps import Stripe, user_ids
from flask_bitmapist.analysis.counting import (
    Counting,
    NumKongCounting,
    NumpyCounting,
    fastest,
)
from flask_bitmapist.analysis.errors import BadMarkError, Text, is_printable
from flask_bitmapist.analysis.expressions import (
    Named,
    Not,
    Source,
    chain,
    require_bounded,
    sources_of,
)
from flask_bitmapist.analysis.parsing import (
    MAX_DEPTH,
    MAX_LENGTH,
    parse,
    spelled,
    wanted,
)
from flask_bitmapist.analysis.periods import AsOf, Calendar, last_periods
from flask_bitmapist.analysis.results import Result, Table, to_csv, to_text
from flask_bitmapist.analysis.windows import (
    Between,
    Ever,
    First,
    InLast,
    Never,
    Restarted,
    Stopped,
)
from flask_bitmapist.capture import bitwriter, csvfile, recorder, reports
from flask_bitmapist.capture.bitwriter import BitWriter, Group, temporary_key
from flask_bitmapist.capture.csvfile import CsvFile
from flask_bitmapist.capture.deletion import plan_deletion
from flask_bitmapist.capture.erasing import (
    ERASING_KEY,
    FORGOTTEN_KEY,
    export_person,
)
from flask_bitmapist.capture.importing import (
    LONGEST_EXAMPLE,
    MOST_EXAMPLES,
    Importer,
    ImportSummary,
    hour_in,
    import_rows,
)
from flask_bitmapist.capture.leftout import LeftOut
from flask_bitmapist.capture.marks import MAX_BYTES, Mark, bits_of, hour_of
from flask_bitmapist.capture.queue import Backoff
from flask_bitmapist.capture.reports import Reports
from flask_bitmapist.capture.sample import FILE, FIRST, LAST, REPLAYED_TO, yesterday
from flask_bitmapist.capture.spool import Spool
from flask_bitmapist.cli.questions import command_of
from flask_bitmapist.config import PREFIX, ConfigError, Settings, load
from flask_bitmapist.identity import Identity, object_id, plain_id
from flask_bitmapist.questions.asking import Names
from flask_bitmapist.questions.cohort import Cohort, CohortAnswer
from flask_bitmapist.questions.declare import Param
from flask_bitmapist.questions.events import Events
from flask_bitmapist.questions.funnel import OUTCOMES, Funnel
from flask_bitmapist.questions.lifecycle import Lifecycle
from flask_bitmapist.questions.overview import Overview
from flask_bitmapist.questions.person import Person
from flask_bitmapist.questions.stickiness import Stickiness
from flask_bitmapist.questions.trend import Trend, TrendAnswer
from flask_bitmapist.questions.who import Count, Has, Users
from flask_bitmapist.state import _living
from flask_bitmapist.store import diagnosis
from flask_bitmapist.store.catalogue import (
    EVENTS_KEY,
    FLAGS_KEY,
    WALKED_KEY,
    WALKING_KEY,
    Catalogue,
)
from flask_bitmapist.store.connect import check_url, open_client, redact
from flask_bitmapist.store.cuts import CUTS_KEY
from flask_bitmapist.store.errors import DamagedIdMapError, NotABitmapError
from flask_bitmapist.store.idmap import IdMap, identity_of
from flask_bitmapist.store.keys import month_keys, parse_key, redis_key
from flask_bitmapist.store.reader import LEAST_BYTES, BitmapReader, Budget
from flask_bitmapist.store.userset import UserSet
from flask_bitmapist.store.zones import Zones
from flask_bitmapist.web.door import MOST_ARGUMENTS, MOST_BODY
from flask_bitmapist.web.responses import MOST_ANSWER, OPENED_BY

living_apps = _living._states
"""What is kept for each app of this process."""

__all__ = [
    "CUTS_KEY",
    "ERASING_KEY",
    "EVENTS_KEY",
    "FILE",
    "FIRST",
    "FLAGS_KEY",
    "FORGOTTEN_KEY",
    "LAST",
    "LEAST_BYTES",
    "LONGEST_EXAMPLE",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MOST_ANSWER",
    "MOST_ARGUMENTS",
    "MOST_BODY",
    "MOST_EXAMPLES",
    "OPENED_BY",
    "OUTCOMES",
    "PREFIX",
    "REPLAYED_TO",
    "WALKED_KEY",
    "WALKING_KEY",
    "AsOf",
    "Backoff",
    "BadMarkError",
    "Between",
    "BitWriter",
    "BitmapReader",
    "Budget",
    "Calendar",
    "Catalogue",
    "Cohort",
    "CohortAnswer",
    "ConfigError",
    "Count",
    "Counting",
    "CsvFile",
    "DamagedIdMapError",
    "Events",
    "Ever",
    "First",
    "Funnel",
    "Group",
    "Has",
    "IdMap",
    "Identity",
    "ImportSummary",
    "Importer",
    "InLast",
    "LeftOut",
    "Lifecycle",
    "Mark",
    "Named",
    "Names",
    "Never",
    "Not",
    "NotABitmapError",
    "NumKongCounting",
    "NumpyCounting",
    "Overview",
    "Param",
    "Person",
    "Reports",
    "Restarted",
    "Result",
    "Settings",
    "Source",
    "Spool",
    "Stickiness",
    "Stopped",
    "Stripe",
    "Table",
    "Text",
    "Trend",
    "TrendAnswer",
    "UserSet",
    "Users",
    "Zones",
    "bits_of",
    "bitwriter",
    "chain",
    "check_url",
    "command_of",
    "counting",
    "csvfile",
    "diagnosis",
    "export_person",
    "fastest",
    "hour_in",
    "hour_of",
    "identity_of",
    "import_rows",
    "is_printable",
    "last_periods",
    "living_apps",
    "load",
    "month_keys",
    "object_id",
    "open_client",
    "parse",
    "parse_key",
    "plain_id",
    "plan_deletion",
    "recorder",
    "redact",
    "redis_key",
    "reports",
    "require_bounded",
    "sources_of",
    "spelled",
    "temporary_key",
    "to_csv",
    "to_text",
    "united",
    "user_ids",
    "wanted",
    "yesterday",
]
