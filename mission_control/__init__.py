"""The client for Python programs: follow rooms of Mission Control, and miss nothing.

async with MissionControl("http://127.0.0.1:8000", key) as client:
    async for event in client.subscribe("workspace", pos=0):
        print(event.position, event.event, event.data)
"""

from mission_control.client import MissionControl
from mission_control.events import Event
from mission_control.refusals import Refused, Reset, SignedOut
from mission_control.subscription import Subscription

__all__ = ["Event", "MissionControl", "Refused", "Reset", "SignedOut", "Subscription"]
