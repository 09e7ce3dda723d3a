"""The questions: each module declares one, and answers it."""

from .declare import (
    Answer,
    AnswerDict,
    Behind,
    Cell,
    ParameterError,
    Question,
    param,
    params_of,
)

__all__ = [
    "Answer",
    "AnswerDict",
    "Behind",
    "Cell",
    "ParameterError",
    "Question",
    "param",
    "params_of",
]
