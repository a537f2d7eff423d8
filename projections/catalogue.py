"""Every read model."""

from typing import Any

from projections.boards import BOARDS
from projections.metrics import MISSION_FLOW
from projections.missions import MISSIONS
from projections.read_model import ReadModel
from projections.search import SEARCH_ACTIVITY, SEARCH_COMMENTS, SEARCH_MISSIONS
from projections.workspaces import WORKSPACES

READ_MODELS: tuple[ReadModel[Any], ...] = (
    WORKSPACES,
    BOARDS,
    MISSIONS,
    SEARCH_MISSIONS,
    SEARCH_COMMENTS,
    SEARCH_ACTIVITY,
    MISSION_FLOW,
)
