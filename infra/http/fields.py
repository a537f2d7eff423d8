"""Types of request fields: bounded, without control characters, unknown members refused."""

import math
import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    StringConstraints,
)

JSON_DEPTH_MAX = 8
JSON_MEMBERS_MAX = 500
LABELS_MAX = 30
YEAR_MIN, YEAR_MAX = 1900, 9000
# C0 and C1 controls, and what some readers of lines take for an end of one.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
INVISIBLE = {"Cf", "Zs", "Zl", "Zp", "Cc"}
NUMBER = re.compile(r"\s*[-+]?[\d.]+\s*")


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


def _one_line(text: str) -> str:
    if CONTROLS.search(text):
        raise ValueError("must be one line without control characters")
    return text


def _visible(text: str) -> str:
    if all(unicodedata.category(char) in INVISIBLE for char in text):
        raise ValueError("must have a character that can be seen")
    return text


def _all_visible(text: str) -> str:
    if any(unicodedata.category(char) in INVISIBLE for char in text):
        raise ValueError("must not have characters that can't be seen")
    return text


def _written_out(value: Any) -> Any:
    # Else a number would be taken for seconds since 1970, or for milliseconds, whichever seems likelier.
    if not isinstance(value, str | datetime) or (
        isinstance(value, str) and NUMBER.fullmatch(value)
    ):
        raise ValueError("must be a time with its offset, like 2026-03-02T12:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    # Near the ends of Python's calendar a time has no equal in UTC, and stores end elsewhere.
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise ValueError(f"must be in a year from {YEAR_MIN} to {YEAR_MAX}")
    return moment.astimezone(UTC)


def _small_json(value: dict[str, Any]) -> dict[str, Any]:
    _check_json(value, depth=0, budget=[JSON_MEMBERS_MAX])
    return value


def _check_json(value: Any, depth: int, budget: list[int]) -> None:
    budget[0] -= 1
    if depth > JSON_DEPTH_MAX:
        raise ValueError(f"nested deeper than {JSON_DEPTH_MAX} levels")
    if budget[0] < 0:
        raise ValueError(f"more than {JSON_MEMBERS_MAX} values")
    match value:
        case str():
            _without_nul(value)
            value.encode()  # a lone surrogate raises UnicodeEncodeError, a ValueError
        case float() if not math.isfinite(value):
            raise ValueError("numbers must be finite")
        case int() if abs(value) > 2**53:
            raise ValueError("whole numbers must fit 53 bits")
        case dict():
            for key, inner in value.items():
                _check_json(key, depth + 1, budget)
                _check_json(inner, depth + 1, budget)
        case list():
            for inner in value:
                _check_json(inner, depth + 1, budget)
        case _:
            pass


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_one_line),
    AfterValidator(_visible),
]
ShortLine = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=60),
    AfterValidator(_one_line),
    AfterValidator(_visible),
]
Text = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_without_nul)]
Said = Annotated[
    str,
    StringConstraints(min_length=1, max_length=20_000),
    AfterValidator(_without_nul),
    AfterValidator(_visible),
]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000),
    AfterValidator(_without_nul),
    AfterValidator(_visible),
]
Time = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
"""A time with its offset, and in UTC from here on."""
Words = Annotated[tuple[ShortLine, ...], AfterValidator(_distinct)]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=320, pattern=r"^[^\s@\x00]+@[^\s@\x00]+$"),
    AfterValidator(_all_visible),
]
Integer = Annotated[int, Strict()]
"""A JSON integer: `true`, `"7"` and `3.0` are none, though Python would make one of each."""
SmallJson = Annotated[dict[str, Any], AfterValidator(_small_json)]


def not_null(value: Any) -> Any:
    """Refuse a null, at the field that it is in: what is to stay as it is, is left out."""
    if value is None:
        raise ValueError("can't be null")
    return value


class Body(BaseModel):
    """A request body: unknown members are refused, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
