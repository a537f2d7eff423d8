"""A mark is believed only where no message is missing; else the log is read up to it."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from streams.kafka_messages import Mark
from streams.partitions import Delivered, PartitionMark, Place, read_on

LOG_ID = UUID(int=1)
PLACE = Place("mc.mission", 3)
SAID = st.one_of(st.none(), st.builds(Mark, st.just(LOG_ID), st.integers(1, 50)))


def message(offset: int, mark: int | None = None, topic_id: str | None = None) -> Delivered:
    return Delivered(PLACE, offset, Mark(LOG_ID, mark, topic_id) if mark is not None else None)


def test_a_mark_behind_all_that_came_before_it_moves_the_position() -> None:
    reading = read_on(PartitionMark(10, 5), [message(5), message(6, 20)])
    assert reading.mark == PartitionMark(20, 7)
    assert reading.missing_up_to is None


def test_behind_a_missing_message_the_offset_stays_until_a_mark_comes() -> None:
    reading = read_on(PartitionMark(10, 5), [message(5), message(7)])
    assert reading.mark == PartitionMark(10, 6)
    assert reading.missing_up_to is None
    reading = read_on(reading.mark, [message(8, 20), message(9)])
    assert reading.mark == PartitionMark(20, 10)
    assert reading.missing_up_to == 20


def test_messages_that_come_again_move_nothing() -> None:
    before = PartitionMark(20, 9)
    assert read_on(before, [message(3), message(4, 12), message(5)]).mark == before


def test_a_topic_that_was_made_anew_is_read_from_the_log_once() -> None:
    reading = read_on(PartitionMark(20, 900), [message(0), message(1, 30), message(2, 31)])
    assert reading.missing_up_to == 30
    assert reading.mark == PartitionMark(31, 3)


def test_offsets_of_another_topic_are_not_taken_for_those_that_come_next() -> None:
    before = PartitionMark(20, 5, "old")
    reading = read_on(before, [message(5), message(6, 30, "new"), message(7, 31, "new")])
    assert reading.missing_up_to == 30
    assert reading.mark == PartitionMark(31, 8, "new")
    assert read_on(before, [message(5), message(6, 30, "old")]).missing_up_to is None


def test_a_mark_of_another_topic_that_is_no_news_begins_its_offsets() -> None:
    reading = read_on(PartitionMark(20, 900, "old"), [message(0), message(1, 15, "new")])
    assert (reading.mark, reading.missing_up_to) == (PartitionMark(20, 2, "new"), None)
    reading = read_on(reading.mark, [message(2), message(3, 25, "new")])
    assert (reading.mark, reading.missing_up_to) == (PartitionMark(25, 4, "new"), None)


def test_a_mark_of_another_topic_behind_missing_messages_leaves_them_missing() -> None:
    reading = read_on(PartitionMark(20, 5, "old"), [message(8, 15, "new"), message(9)])
    assert (reading.mark, reading.missing_up_to) == (PartitionMark(20, 5, "new"), None)
    reading = read_on(reading.mark, [message(10, 25, "new")])
    assert (reading.mark, reading.missing_up_to) == (PartitionMark(25, 11, "new"), 25)


def test_which_topic_it_is_is_learnt_from_its_first_mark() -> None:
    assert read_on(PartitionMark(20, 5), [message(5, 10, "one")]).mark == PartitionMark(
        20, 6, "one"
    )


@given(st.lists(SAID, max_size=30), st.data())
def test_whatever_is_lost_or_repeated_nothing_is_believed_that_was_not_seen(
    said: list[Mark | None], data: st.DataObject
) -> None:
    """Marks grow along a partition; each batch is any part of it, in the order of offsets."""
    top, messages = 0, []
    for offset, word in enumerate(said):
        top = max(top, word.position if word else 0)
        messages.append(Delivered(PLACE, offset, Mark(LOG_ID, top) if word else None))
    mark, seen, filled = PartitionMark(0, 0), set[int](), 0
    for _ in range(5):
        part = data.draw(st.sets(st.sampled_from(range(len(said))))) if said else set[int]()
        batch = [messages[offset] for offset in sorted(part)]
        reading = read_on(mark, batch)
        seen |= part
        filled = max(filled, reading.missing_up_to or 0)
        mark = reading.mark
        for unseen in set(range(mark.next_offset)) - seen:
            # Its events are at most at the position of the next mark behind it, up to which the log was read.
            behind = [m.said.position for m in messages[unseen:] if isinstance(m.said, Mark)]
            assert behind and behind[0] <= filled
