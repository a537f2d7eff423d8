"""The build hook: the dashboard's files go into the package, built from `web/` where they are not yet."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))  # hatchling loads this file alone

from web_build import NODE_WHEEL, BuildFailed, build, find_node, is_current


class DashboardHook(BuildHookInterface):
    """Builds `web/` before a wheel, or an editable install, is made of this tree."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for Node from PyPI where there is something to build and no Node here that could."""
        root = Path(self.root)
        return [] if is_current(root) or find_node() else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what has changed.

        Without Node's registry an editable install still gives the whole API; a wheel that lacks its
        dashboard is not made.
        """
        if self.target_name != "wheel":
            return
        try:
            build(Path(self.root))
        except BuildFailed as failed:
            if version != "editable":
                raise
            self.app.display_warning(f"installed without its dashboard: {failed}")
