"""Search over missions, comments and what agents said, with facets and highlights."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response

from domain.base import InvalidValue
from domain.permissions import Permission
from infra.http.openapi import answer
from infra.http.principal import Principal, requires
from infra.marks import Marks
from infra.search import KINDS, Facet, Hit, Place, Question, SearchEngine, Terms
from projections.search import PRIORITIES, SEARCH_MODELS, STAGES
from projections.search_text import highlight, typos, within, words
from read_api.lists import decode_cursor, encode_cursor, page_of, require_log

router = APIRouter(prefix="/api/search", tags=["search"])

QUERY_CHARS_MAX = 500
WORDS_MAX = 16
EXPANSIONS_MAX = 50
SCORE_MAX = 2**31 - 1  # of PostgreSQL's integer


class After(NamedTuple):
    """Where the last page ended."""

    score: Annotated[int, msgspec.Meta(ge=0, le=SCORE_MAX)]
    updated_at: datetime
    id: UUID
    log_id: UUID


class SearchHit(msgspec.Struct):
    """A mission, a comment, or what an agent said; `highlights` are safe HTML by field."""

    type: Literal["mission", "comment", "activity"]
    id: UUID
    mission_id: UUID
    board_id: UUID
    title: str
    highlights: dict[str, str]
    updated_at: datetime


class Facets(msgspec.Struct):
    """How many of all that was found have each value."""

    type: dict[str, int]
    priority: dict[str, int]
    stage: dict[str, int]
    label: dict[str, int]
    board: dict[str, int]


SearchHitPage = page_of(SearchHit, facets=Facets)


@router.get("", responses=answer(SearchHitPage))
async def search(
    request: Request,
    principal: Annotated[Principal, requires(Permission.READ)],
    q: Annotated[str, Query(min_length=1, max_length=QUERY_CHARS_MAX)],
    type_: Annotated[str | None, Query(alias="type", max_length=100)] = None,
    board_id: UUID | None = None,
    label: Annotated[str | None, Query(max_length=60)] = None,
    priority: Annotated[str | None, Query(max_length=100)] = None,
    stage: Annotated[str | None, Query(max_length=100)] = None,
    agent_id: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    min_position: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> Response:
    """Find missions, comments and what agents said, by whole words; the last word also by its beginning.

    Every word has to be in the text. A word that no text has is taken for a misspelt one from 4 letters
    on. Highlights are safe HTML: `<mark>` is the only tag in them. `type`, `priority` and `stage` take several
    values, separated by commas. Comments and activity are filtered by what their mission is now.
    """
    engine: SearchEngine = request.app.state.search
    marks: Marks = request.app.state.marks
    after = decode_cursor(cursor, After) if cursor is not None else None
    wanted = _wanted(q)
    question = Question(
        principal.workspace_id,
        Terms((), None),
        limit + 1,
        kinds=_several("type", type_, KINDS) or KINDS,
        board_id=board_id,
        label=_label(label),
        priority=_several("priority", priority, PRIORITIES),
        stage=_several("stage", stage, STAGES),
        agent_id=agent_id,
        after=Place(*after[:3]) if after is not None else None,
    )
    position = await marks.wait(min_position or 0, *(model.name for model in SEARCH_MODELS))
    terms = await _terms(engine, principal.workspace_id, wanted)
    found = await engine.find(replace(question, terms=terms))
    require_log(after, found.log_id)
    items, more = found.hits[:limit], len(found.hits) > limit
    body = {
        "items": [_item(hit, terms) for hit in items],
        "facets": _facets(found.facets),
        "next_cursor": encode_cursor(After(*items[-1].place, found.log_id)) if more else None,
        "position": position,
    }
    return Response(msgspec.json.encode(body), media_type="application/json")


def _wanted(q: str) -> list[str]:
    wanted = list(dict.fromkeys(words(q)))
    if not wanted:
        raise InvalidValue("a letter or a digit at least", field="q")
    if len(wanted) > WORDS_MAX:
        raise InvalidValue(f"{WORDS_MAX} words at most", field="q")
    return wanted


async def _terms(engine: SearchEngine, workspace_id: UUID, wanted: list[str]) -> Terms:
    """Take each word that no text has for the known ones that it may stand for."""
    found = await engine.known(workspace_id, wanted)
    groups = [
        (word,) if known else (word, *await _meant(engine, workspace_id, word))
        for word, known in zip(wanted, found, strict=True)
    ]
    return Terms(tuple(groups), wanted[-1])


async def _meant(engine: SearchEngine, workspace_id: UUID, word: str) -> list[str]:
    most = typos(word)
    if most == 0:
        return []
    candidates = await engine.near(workspace_id, word, most)
    near = {other for other in candidates if within(word, other, most)}
    return sorted(near)[:EXPANSIONS_MAX]


def _item(hit: Hit, terms: Terms) -> dict[str, Any]:
    marked = {field: highlight(text, terms.matches) for field, text in hit.texts.items()}
    return {
        "type": hit.type,
        "id": hit.id,
        "mission_id": hit.mission_id,
        "board_id": hit.board_id,
        "title": hit.title,
        "highlights": {field: text for field, text in marked.items() if text is not None},
        "updated_at": hit.updated_at,
    }


def _facets(counted: Iterable[Facet]) -> dict[str, dict[str, int]]:
    facets: dict[str, dict[str, int]] = {
        name: {} for name in ("type", "priority", "stage", "label", "board")
    }
    for facet in sorted(counted, key=lambda one: (-one.count, one.value)):
        facets[facet.facet][facet.value] = facet.count
    return facets


def _several(field: str, text: str | None, known: tuple[str, ...]) -> list[str]:
    values = list(dict.fromkeys(text.split(","))) if text is not None else []
    if not set(values) <= set(known):
        raise InvalidValue(f"one or more of {', '.join(known)}", field=field)
    return values


def _label(label: str | None) -> str | None:
    if label is not None and "\x00" in label:
        raise InvalidValue("must not contain the NUL character", field="label")
    return label
