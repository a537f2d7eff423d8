"""No gap, no duplicate: replay, live, and the way from one to the other."""

import asyncio
from typing import Any

import pytest

from streams.live import Pace


@pytest.mark.parametrize("index", [True, False], ids=["indexed", "without an index"])
def test_replay_is_the_log(playing: Any, index: bool) -> None:
    async def scenario(here: Any) -> None:
        board, other = await here.board(), await here.board()
        for _ in range(600):
            await asyncio.gather(here.mission(board), here.mission(other))
            if here.follower.position > 1300:
                break
        end = (await here.mission(board))[1]
        await here.follower.wait_beyond(end - 1)
        async with here.client() as client:
            assert (await client.sub("workspace", 0))["replaying"]
            await client.until("live")
            found = [(e["pos"], e["event"]) for e in client.events["workspace"]]
            assert found == await here.recorded()
            middle = found[len(found) // 2][0]
            room = f"board:{board.id}"
            await client.sub(room, middle, log_id=client.log_id)
            await client.until("live")
            mine = [
                e["pos"]
                for e in client.events["workspace"]
                if e["pos"] > middle and e["payload"]["data"].get("board_id") == str(board.id)
            ]
            assert [e["pos"] for e in client.events[room]] == mine

    playing(scenario, index=index)


@pytest.mark.parametrize("kept", [32_000_000, 3_000, 0], ids=["kept", "kept briefly", "not kept"])
def test_live_follows_replay_without_a_seam(playing: Any, kept: int) -> None:
    async def scenario(here: Any) -> None:
        board = await here.board()
        room = f"board:{board.id}"

        async def write() -> None:
            for _ in range(150):
                await asyncio.gather(*(here.mission(board) for _ in range(3)))
            await here.mission(board, "the end")

        async def follow(pos: int | None) -> list[int]:
            async with here.client() as client:
                await client.sub(room, pos)
                heard = client.events[room]
                while not heard or not _is_the_end(heard[-1]):
                    await client.take()
                return [e["pos"] for e in heard]

        writing = asyncio.create_task(write())
        starts = [0, 0, None, 0, None]
        heard = await asyncio.gather(*(follow(pos) for pos in starts))
        await writing
        everything = heard[0]
        assert len(everything) == 452
        assert heard[1] == heard[3] == everything
        assert heard[2] == everything[len(everything) - len(heard[2]) :]

    playing(scenario, kept=kept)


def test_a_move_between_boards_is_in_both_rooms(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        here_board, there = await here.board(), await here.board()
        mission, _ = await here.mission(here_board)
        async with here.client() as client:
            rooms = [f"board:{here_board.id}", f"board:{there.id}"]
            for room in rooms:
                await client.sub(room)
            mission.move(here.place(there), here.user_id)
            position = await here.record(mission)
            for room in rooms:
                event = (await client.reach(room, position))[-1]
                assert (event["event"], event["type"]) == ("mission.moved.v1", "board_change")
                assert event["payload"]["entityId"] == str(mission.id)
                assert event["payload"]["data"]["card"]["content"]["title"] == "title"
                assert event["v"] == mission.version

    playing(scenario)


def test_a_slow_reader_falls_back_and_misses_nothing(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        board = await here.board()
        room = f"board:{board.id}"
        async with here.client() as client:
            await client.sub(room)
            text, position = "x" * 40_000, 0
            for _ in range(25):
                made = await asyncio.gather(*(here.mission(board, text) for _ in range(10)))
                position = max(p for _, p in made)
            await here.follower.wait_beyond(position - 1)
            assert here.live._kept_bytes <= 200_000
            await client.until("batch")
            assert len(await client.reach(room, position)) == 250

    playing(scenario, kept=200_000)


def test_who_takes_nothing_is_ended(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        async with here.client() as client:
            await client.sub("workspace", 0)
            assert (await client.hear())["t"] == "batch"
            assert await client.code() == 4008

    playing(scenario, pace=Pace(stalled_s=0.3, tick_s=0.05))


def test_a_room_that_was_left_is_silent(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        board = await here.board()
        room = f"board:{board.id}"
        async with here.client() as client:
            await client.sub(room)
            await client.say("unsub", id=9, room=room)
            assert await client.hear() == {"t": "unsub_ok", "id": 9, "room": room}
            assert here.live._rooms == {}
            position = (await here.mission(board))[1]
            await client.sub("workspace", position - 1)
            assert {m["room"] for m in [await client.until("live")]} == {"workspace"}

    playing(scenario)


def _is_the_end(event: dict[str, Any]) -> bool:
    content = event["payload"]["data"].get("content", {})
    return content.get("description") == "the end"
