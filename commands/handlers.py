"""The write side in one table: command class → handler."""

from typing import Any

from commands import agents, boards, comments, members, missions, projections, workspaces
from commands.bus import Handler

HANDLERS: dict[type[Any], Handler] = {
    **workspaces.HANDLERS,
    **members.HANDLERS,
    **agents.HANDLERS,
    **boards.HANDLERS,
    **missions.HANDLERS,
    **comments.HANDLERS,
    **projections.HANDLERS,
}
