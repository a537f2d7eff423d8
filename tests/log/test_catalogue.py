"""An event type, once recorded, is never changed."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

from domain.catalogue import EVENTS
from infra.codec import data_fields

CATALOGUE = Path(__file__).with_name("catalogue.json")


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def _shape(hint: Any) -> Any:
    """A type's name; of a dataclass, its fields too."""
    nested = [arg for arg in get_args(hint) if dataclasses.is_dataclass(arg)]
    if dataclasses.is_dataclass(hint):
        nested.append(hint)
    if not nested:
        return _name(hint)
    return {_name(hint): {kind.__name__: _shapes(get_type_hints(kind)) for kind in nested}}


def _shapes(hints: dict[str, Any]) -> dict[str, Any]:
    return {name: _shape(hint) for name, hint in hints.items()}


def catalogue() -> dict[str, Any]:
    return {topic: _shapes(data_fields(kind)) for topic, kind in sorted(EVENTS.items())}


def test_the_event_catalogue_is_as_recorded():
    recorded, current = json.loads(CATALOGUE.read_text()), catalogue()
    gone = recorded.keys() - current.keys()
    changed = {
        topic for topic in recorded.keys() & current.keys() if recorded[topic] != current[topic]
    }
    new = {topic: current[topic] for topic in current.keys() - recorded.keys()}
    assert not gone, (
        f"logs hold these events: keep them readable, by an upcaster at least: {sorted(gone)}"
    )
    assert not changed, (
        f"never change an event type: add its next version and an upcaster: {sorted(changed)}"
    )
    assert not new, f"add these to {CATALOGUE.name}:\n{json.dumps(new, indent=1)}"
