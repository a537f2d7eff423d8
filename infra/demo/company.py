"""Who is in the demo: a freight company, its people, its agents and its four boards."""

from dataclasses import dataclass
from uuid import UUID, uuid5

from domain.board import Stage
from domain.workspace import Role

NAMESPACE = UUID("2f1b6f0e-6a0c-5d7e-9a55-0f4c7f6b1d21")
FOUNDED = uuid5(NAMESPACE, "founded")
"""The id of the command that opens a demo's log: by it, a log is known to be a demo's."""

COMPANY = "Harbourline Freight"


@dataclass(frozen=True)
class Person:
    name: str
    role: Role
    boards: tuple[str, ...]
    """The boards that this person leads: reviews, and puts missions on."""

    @property
    def email(self) -> str:
        return f"{self.name.split()[0].lower()}@example.org"


@dataclass(frozen=True)
class Worker:
    """An agent; `owner` is the person that it acts for."""

    name: str
    role: str
    board: str
    capabilities: tuple[str, ...]
    owner: str


@dataclass(frozen=True)
class Team:
    """A board, with its limits of work in progress by stage."""

    name: str
    limits: dict[Stage, int]
    more_columns: tuple[tuple[str, Stage], ...] = ()


PLATFORM, INCIDENTS, GROWTH, DATA = "Platform", "Incidents", "Growth", "Data"

TEAMS = (
    Team(PLATFORM, {Stage.ACTIVE: 8, Stage.REVIEW: 10}),
    Team(INCIDENTS, {Stage.ACTIVE: 4}),
    Team(GROWTH, {Stage.ACTIVE: 3, Stage.READY: 40}, (("Ideas", Stage.BACKLOG),)),
    Team(DATA, {Stage.ACTIVE: 4}),
)
"""The first is the workspace's own board."""

PEOPLE = (
    Person("Ines Falk", Role.MISSION_COMMANDER, (PLATFORM, INCIDENTS)),
    Person("Tomas Brandt", Role.MISSION_COMMANDER, (INCIDENTS, PLATFORM)),
    Person("Noor Haddad", Role.MISSION_COMMANDER, (GROWTH,)),
    Person("Kofi Mensah", Role.MISSION_COMMANDER, (DATA, GROWTH)),
    Person("Yuki Tanabe", Role.AGENT_OPERATOR, ()),
    Person("Lea Winter", Role.VIEWER, ()),
)

WORKERS = (
    Worker("Forge", "builds services and their pipelines", PLATFORM, ("ci", "code"), "Ines Falk"),
    Worker("Keel", "keeps the clusters upright", PLATFORM, ("infra", "security"), "Ines Falk"),
    Worker("Rivet", "refactors and upgrades", PLATFORM, ("code", "infra"), "Tomas Brandt"),
    Worker(
        "Tiller", "reviews dependencies and builds", PLATFORM, ("ci", "code", "security"),
        "Ines Falk",
    ),
    Worker("Lookout", "reads alerts and sorts them", INCIDENTS, ("logs", "triage"), "Tomas Brandt"),
    Worker("Medic", "repairs what broke", INCIDENTS, ("code", "triage"), "Tomas Brandt"),
    Worker(
        "Tracer", "follows a fault to its cause", INCIDENTS, ("code", "logs", "triage"),
        "Tomas Brandt",
    ),
    Worker("Quill", "drafts and edits", GROWTH, ("research", "writing"), "Noor Haddad"),
    Worker("Prism", "lays out pages and tests them", GROWTH, ("design", "research", "writing"),
           "Noor Haddad"),
    Worker("Ledger", "reconciles the books of record", DATA, ("pipelines", "sql"), "Kofi Mensah"),
    Worker("Sieve", "cleans what comes in", DATA, ("pipelines", "sql"), "Kofi Mensah"),
    Worker("Abacus", "turns tables into answers", DATA, ("charts", "sql"), "Kofi Mensah"),
)  # fmt: skip


def leads(board: str) -> list[Person]:
    """Return who reviews on a board."""
    return [person for person in PEOPLE if board in person.boards]
