"""Users: the people. Their names and addresses are sealed from the first event on."""

from uuid import UUID

from eventsourcing.domain import event

from domain import base
from domain.base import Personal


class UserDisabled(base.Refusal):
    """The account was disabled."""

    code = "user_disabled"


class User(base.Aggregate):
    """A person who belongs to one workspace."""

    TOPIC = "user"

    name: Personal
    email: Personal
    disabled: bool

    class Event(base.Aggregate.Event):
        pass

    class Created(Event, base.Aggregate.Created):
        TOPIC = "user.registered.v1"
        name: Personal
        email: Personal

    class ProfileChanged(Event):
        TOPIC = "user.profile_changed.v1"
        name: Personal

    class Disabled(Event):
        TOPIC = "user.disabled.v1"

    @event(Created)
    def __init__(self, workspace_id: UUID, name: Personal, email: Personal) -> None:
        self.workspace_id = workspace_id
        self.name = name
        self.email = email
        self.disabled = False

    def change_profile(self, name: Personal) -> None:
        """Change the display name."""
        if self.disabled:
            raise UserDisabled("this account is disabled")
        self._profile_changed(name)

    def disable(self) -> None:
        """Bar the person from signing in; silent when barred already."""
        if not self.disabled:
            self._disabled()

    @event(ProfileChanged)
    def _profile_changed(self, name: Personal) -> None:
        self.name = name

    @event(Disabled)
    def _disabled(self) -> None:
        self.disabled = True
