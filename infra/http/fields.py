"""Types of request fields: bounded, without control characters, unknown members refused."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

JSON_DEPTH_MAX = 8
JSON_MEMBERS_MAX = 500
LABELS_MAX = 30


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


def _one_line(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("must be one line without control characters")
    return text


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
]
ShortLine = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=60),
    AfterValidator(_one_line),
]
Text = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_without_nul)]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000),
    AfterValidator(_without_nul),
]
Words = Annotated[tuple[ShortLine, ...], AfterValidator(_distinct)]
SmallJson = Annotated[dict[str, Any], AfterValidator(_small_json)]


class Body(BaseModel):
    """A request body: unknown members are refused, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
