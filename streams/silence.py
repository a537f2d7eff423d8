"""Which of a worker's partitions gets no messages, though there are some: Kafka's client has left it aside."""

from collections.abc import Iterable

from streams.partitions import Place

WAIT_S_MAX = 5.0
"""Of one wait no more counts than lies between two marks."""


class Silence:
    """How long each partition was not heard while others were.

    The relay's marks come to all partitions at the same time, so that none is silent for long. What counts is
    only the time that the worker waited for messages. While it folds, or has a backlog of one partition to take,
    the others can't be heard: Faust sets partitions aside until its queue has become short. And a pause of all
    of them (no relay, no Kafka, a group that is being balanced) is one wait, and nobody's silence.
    """

    def __init__(self) -> None:
        self._waited_s = 0.0
        self._heard: dict[Place, float] = {}

    def heard(self, places: Iterable[Place], assigned: Iterable[Place], waited_s: float) -> None:
        """Take note of a batch: whose messages came, who may be heard at all, and how long it was waited for."""
        self._waited_s += min(waited_s, WAIT_S_MAX)
        # A partition that is new here begins now.
        self._heard = {place: self._heard.get(place, self._waited_s) for place in assigned}
        self._heard |= dict.fromkeys(places, self._waited_s)

    def longer_than(self, limit_s: float) -> list[Place]:
        """Return the partitions that were silent for longer."""
        return [place for place, heard in self._heard.items() if self._waited_s - heard > limit_s]
