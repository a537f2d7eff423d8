"""An event in a few words: one table from event type to a sentence, whose fields are looked up."""

from dataclasses import dataclass
from datetime import datetime
from string import Formatter
from typing import TYPE_CHECKING, Self

from rich.text import Text

from infra.terminal.names import Names
from infra.terminal.output import Json, clean, moment, short

if TYPE_CHECKING:
    from mission_control import Event

TEXT_CHARS_MAX = 120

# {title}, {agent} and {board} are the event's own stream; other names are members of its data.
SENTENCES = {
    "workspace.created": "founded the workspace {name}",
    "workspace.member_added": "made {user_id} a member, as {role}",
    "workspace.member_removed": "removed the member {user_id}",
    "workspace.role_changed": "made {user_id} {role}",
    "user.registered": "registered {name}",
    "user.profile_changed": "changed the profile of {name}",
    "user.disabled": "disabled {person}",
    "user.erased": "erased the personal data of {person}",
    "agent.registered": "registered the agent {name}",
    "agent.updated": "changed the agent {name}",
    "agent.activated": "activated {agent}",
    "agent.deactivated": "deactivated {agent}",
    "agent.retired": "retired {agent}",
    "agent.key_issued": "made a key named {name} for {agent}",
    "agent.key_revoked": "revoked a key of {agent}",
    "agent.came_online": "{agent} came online",
    "agent.went_busy": "{agent} went to work",
    "agent.became_available": "{agent} is free",
    "agent.went_offline": "{agent} went offline",
    "board.created": "made the board {name}",
    "board.renamed": "renamed the board to {name}",
    "board.column_added": "added a column to {board}",
    "board.column_renamed": "renamed a column to {name}",
    "board.column_moved": "moved the column {column_id}",
    "board.column_removed": "removed a column of {board}",
    "board.wip_limit_set": "limited {column_id} to {wip_limit}",
    "mission.created": "created {title} in {column_id}",
    "mission.edited": "edited {title}: {changed}",
    "mission.moved": "moved {title} to {column_id}",
    "mission.reranked": "made room around {title}",
    "mission.assigned": "assigned {title} to {assignee_id}",
    "mission.unassigned": "took {title} from {assignee_id}",
    "mission.claimed": "claimed {title}",
    "mission.lease_expired": "{title} came back: the lease of {agent_id} ran out",
    "mission.released": "gave {title} back",
    "mission.progressed": "{title} is at {percent} % {note}",
    "mission.submitted": "submitted {title}: {summary}",
    "mission.approved": "approved {title}",
    "mission.rejected": "rejected {title}: {reason}",
    "mission.completed": "{title} is done",
    "mission.reopened": "reopened {title}",
    "mission.failed": "failed at {title}: {reason}",
    "mission.blocked": "blocked {title}: {reason}",
    "mission.unblocked": "unblocked {title}",
    "mission.dependency_added": "{title} waits for {depends_on_id}",
    "mission.dependency_removed": "{title} does not wait for {depends_on_id} any more",
    "mission.dependency_met": "{title} need not wait for {depends_on_id} any more",
    "mission.dependency_unmet": "{title} waits for {depends_on_id} again",
    "mission.deleted": "deleted {title}",
    "comment.added": "commented on {mission_id}: {body}",
    "comment.edited": "edited a comment on {mission_id}: {body}",
    "comment.removed": "removed a comment on {mission_id}",
    "comment.redacted": "a comment on {mission_id} was redacted",
    "system.projection_noticed": "the read model {model} has a stream of its own",
    "system.projection_parked": "the read model {model} parked what it could not fold",
    "system.projection_drained": "the read model {model} folded what was parked",
    "system.projection_discarded": "what the read model {model} could not fold was discarded",
}
STYLES = {
    "system": "red", "workspace": "magenta", "user": "magenta", "agent": "cyan", "board": "blue", "comment": "yellow",
}  # fmt: skip
VERB_STYLES = {
    "mission.completed": "green", "mission.approved": "green", "mission.failed": "red",
    "mission.rejected": "red", "mission.blocked": "red", "mission.lease_expired": "yellow",
}  # fmt: skip
MISSIONS = frozenset({"mission_id", "depends_on_id"})
ACTORS = frozenset({"user_id", "assignee_id", "agent_id"})


@dataclass(frozen=True)
class Happening:
    """What is told of an event, by `/api/events` and by a room."""

    position: int
    at: datetime
    type: str
    stream_id: str
    actor_id: str
    actor_kind: str | None
    data: Json

    @classmethod
    def of_envelope(cls, envelope: Json) -> Self:
        """Read a line of `/api/events`."""
        actor = envelope["actor"]
        return cls(
            envelope["position"], moment(envelope["recorded_at"]), envelope["type"],
            envelope["stream_id"], actor["id"], actor["kind"], envelope["data"],
        )  # fmt: skip

    @classmethod
    def of_event(cls, event: "Event") -> Self:
        """Take an event of a room."""
        return cls(
            event.position, event.timestamp, event.event, event.entity_id, event.user_id, None,
            dict(event.data),
        )  # fmt: skip

    @property
    def kind(self) -> str:
        """The type without its version."""
        return self.type.rpartition(".v")[0]


def who(event: Happening, names: Names) -> str:
    """Return who did it."""
    system = event.actor_kind == "system"
    return "the system" if system else names.actor(event.actor_id)


def in_words(event: Happening, names: Names) -> Text:
    """Return what happened, learning the names that it tells."""
    names.learn(event.type, event.stream_id, event.data)
    sentence = SENTENCES.get(event.kind)
    style = VERB_STYLES.get(event.kind) or STYLES.get(event.kind.partition(".")[0], "")
    if sentence is None:
        return Text(f"{clean(event.type)} {short(event.stream_id)}", style="dim")
    text = Text()
    for literal, field, _, _ in Formatter().parse(sentence):
        text.append(literal, style=style)
        if field:
            text.append(*_field(field, event, names))
    return text


def _field(field: str, event: Happening, names: Names) -> tuple[str, str]:
    value = event.data.get(field)
    if field == "title":
        return names.mission(event.stream_id), "bold"
    if field in MISSIONS:
        return names.mission(str(value)), "bold"
    if field == "board":
        return names.known(event.stream_id) or short(event.stream_id), "bold"
    if field in {"agent", "person"}:
        return names.actor(event.stream_id), "bold"
    if field in ACTORS:
        return names.actor(value), "bold"
    if field == "column_id":
        board_id = event.data.get("board_id") or event.stream_id
        return names.column(str(value), board_id), "bold"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if value is None:
        return {"wip_limit": "no limit", "note": ""}.get(field, "(erased)"), "dim"
    told = f"· {clean(value)}" if field == "note" else clean(value)
    return told if len(told) <= TEXT_CHARS_MAX else f"{told[:TEXT_CHARS_MAX]}…", ""
