"""How large a run is: as it is specified, or short enough to be tried."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How often, for how long, and on how much."""

    runs: int = 3
    """Of Lighthouse, per page and preset."""
    cards: int = 1_000
    minutes: float = 10
    """Of events that arrive, before a card is dragged."""
    drag_s: float = 20
    events: int = 100_000
    """In the log that is scrubbed."""
    scrubs: int = 100


QUICK = Sizes(runs=1, minutes=0.5, drag_s=6, events=10_000, scrubs=20)
