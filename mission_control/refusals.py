"""What ends a subscription for good. Anything else is waited for and tried again."""


class SignedOut(Exception):
    """The token or key is in force no more."""


class Refused(Exception):
    """The server refuses the room; `code` says why: `forbidden`, `too_many_rooms`, …"""

    def __init__(self, room: str, code: str) -> None:
        super().__init__(f"{room}: {code}")
        self.room = room
        self.code = code


class Reset(Exception):
    """The server's log is another one now (`log_id`), or ends before the position that was asked for.

    Positions of before mean nothing in it: fetch the state anew, and subscribe from its position.
    """

    def __init__(self, room: str, log_id: str) -> None:
        super().__init__(f"{room}: the log is {log_id} now")
        self.room = room
        self.log_id = log_id
