"""Every read model."""

from typing import Any

from projections.activity import ACTIVITY
from projections.agents import AGENTS
from projections.alerts import ALERTS
from projections.boards import BOARDS
from projections.comments import COMMENTS
from projections.members import MEMBERS
from projections.metrics import MISSION_FLOW
from projections.missions import MISSIONS
from projections.people import PEOPLE
from projections.read_model import ReadModel
from projections.reviews import REVIEWS
from projections.search import SEARCH_ACTIVITY, SEARCH_COMMENTS, SEARCH_MISSIONS
from projections.workspaces import WORKSPACES

READ_MODELS: tuple[ReadModel[Any], ...] = (
    WORKSPACES,
    BOARDS,
    MISSIONS,
    AGENTS,
    COMMENTS,
    PEOPLE,
    MEMBERS,
    ACTIVITY,
    REVIEWS,
    ALERTS,
    SEARCH_MISSIONS,
    SEARCH_COMMENTS,
    SEARCH_ACTIVITY,
    MISSION_FLOW,
)
