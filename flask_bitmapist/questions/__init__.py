"""The questions: each module declares one, and answers it.

What a question of an app's own needs is all here, see docs/howto/own-question.md.
"""

from ..analysis.counting import count_bits, count_rows
from ..analysis.errors import Text
from ..analysis.expressions import evaluate_each, sources_over
from ..analysis.periods import TimeGroup
from ..analysis.results import Table, User
from ..analysis.users import Selection, expression_users
from .asking import Ask
from .declare import (
    Answer,
    AnswerDict,
    Behind,
    Cell,
    Group,
    ParameterError,
    Question,
    When,
    Who,
    param,
    params_of,
    period_of,
)

__all__ = [
    "Answer",
    "AnswerDict",
    "Ask",
    "Behind",
    "Cell",
    "Group",
    "ParameterError",
    "Question",
    "Selection",
    "Table",
    "Text",
    "TimeGroup",
    "User",
    "When",
    "Who",
    "count_bits",
    "count_rows",
    "evaluate_each",
    "expression_users",
    "param",
    "params_of",
    "period_of",
    "sources_over",
]
