"""Every read model."""

from typing import Any

from projections.boards import BOARDS
from projections.missions import MISSIONS
from projections.read_model import ReadModel
from projections.workspaces import WORKSPACES

READ_MODELS: tuple[ReadModel[Any], ...] = (WORKSPACES, BOARDS, MISSIONS)
