"""What people and agents of the demo say. A seeded `Random` makes 300 missions that differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from domain.mission import Priority
from infra.demo.company import DATA, GROWTH, INCIDENTS, PLATFORM

SLOTS: dict[str, tuple[str, ...]] = {
    "service": (
        "booking", "tracking", "invoicing", "customs", "rates", "notifications", "login",
        "container-yard", "documents", "driver-app", "quotes", "partner-gateway",
    ),
    "port": (
        "Rotterdam", "Gdynia", "Hamburg", "Antwerp", "Felixstowe", "Valencia", "Piraeus",
        "Gothenburg", "Le Havre", "Koper", "Aarhus", "Bilbao",
    ),
    "library": ("the HTTP client", "the PDF renderer", "OpenSSL", "the queue client",
                "the ORM", "the schema validator", "the e-mail templates", "the map tiles"),
    "partner": ("the rail operator", "the customs broker", "the fuel card provider",
                "the bank", "two large shippers", "the insurer", "the barge line"),
    "table": ("shipments", "container_moves", "invoices", "rate_cards", "port_calls", "drivers",
              "claims", "quotes", "demurrage"),
    "metric": ("on-time arrival", "demurrage cost", "empty kilometres", "quote conversion",
               "dwell time", "invoice disputes", "time to first quote", "tracking-page visits"),
    "audience": ("small importers", "forwarders", "shipping managers", "first-time shippers",
                 "cold-chain customers", "e-commerce sellers"),
    "channel": ("the newsletter", "the blog", "the help centre", "the pricing page",
                "the onboarding mails", "the partner portal"),
    "number": ("3", "4", "6", "9", "12", "15", "18", "25", "40"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "the weekend"),
    "quarter": ("Q1", "Q2", "Q3", "Q4"),
    "symptom": ("answers 502 under load", "is slow after deploys", "loses its session",
                "retries for ever", "returns stale positions", "times out at the gateway",
                "drops webhooks", "shows the wrong time zone", "sends mails twice"),
}  # fmt: skip


@dataclass(frozen=True)
class Template:
    title: str
    description: str
    labels: tuple[str, ...]
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Idea:
    """A mission's text."""

    title: str
    description: str
    labels: tuple[str, ...]
    capabilities: tuple[str, ...]
    priority: Priority


IDEAS: dict[str, tuple[Template, ...]] = {
    PLATFORM: (
        Template("Move {service} to the new build image",
                 "The old image goes out of support in {number} weeks. Keep the build under {number} minutes.",
                 ("build",), ("ci",)),
        Template("Upgrade {library} in {service}",
                 "A fix that we need is in the latest release. Read the notes for breaking changes first.",
                 ("upgrade", "{service}"), ("code",)),
        Template("Give {service} its own connection pool",
                 "It shares one with two others and starves at peak. Limit it to {number} connections.",
                 ("performance", "{service}"), ("code",)),
        Template("Rotate the credentials that {service} uses for {partner}",
                 "They are older than the policy allows. Both sides have to accept two keys for a day.",
                 ("security",), ("security",)),
        Template("Cut the memory of {service} by {number} %",
                 "The pods are sized for a leak that was fixed. Measure a day, then lower the limits.",
                 ("cost", "{service}"), ("infra",)),
        Template("Add a canary stage to the {service} pipeline",
                 "Five per cent of the traffic for ten minutes, and back by itself when errors double.",
                 ("delivery",), ("ci",)),
        Template("Flaky test in {service}: find it or quarantine it",
                 "It failed {number} of the last 100 runs, each time on another machine.",
                 ("tests", "{service}"), ("code", "ci")),
        Template("Drill: restore {service} from last night's backup",
                 "Into an empty cluster, with a stopwatch. Note every step that isn't in the runbook.",
                 ("reliability",), ("infra",)),
        Template("Write the runbook for {service} failover to {port}",
                 "Somebody who has never seen the service has to get through it at three in the morning.",
                 ("docs", "reliability")),
        Template("Trace requests from {service} to {partner}",
                 "We can't tell whose latency it is. Pass the trace context on, and sample one in {number}.",
                 ("observability",), ("code",)),
        Template("Delete the feature flags of {service} that are always on",
                 "{number} flags have not changed for half a year. Remove each with its dead branch.",
                 ("cleanup",), ("code",)),
        Template("Close the ports of {service} that nobody uses",
                 "The scan found {number} open ones. Ask the owner before each change.",
                 ("security", "network"), ("security", "infra")),
        Template("Autoscale {service} on queue length",
                 "CPU says nothing here: the workers wait for {partner} most of the time.",
                 ("performance",), ("infra",)),
        Template("Make {service} deploys wait for migrations",
                 "On {day} a pod came up before its column did. A gate in the pipeline is enough.",
                 ("delivery", "{service}"), ("ci",)),
    ),
    INCIDENTS: (
        Template("{service} {symptom} in {port}",
                 "First seen on {day}, {number} reports so far. Find the change that started it.",
                 ("incident", "{service}"), ("triage",)),
        Template("Timeline of the {service} outage on {day}",
                 "From the first alert to all clear, with the sources. No names, no blame.",
                 ("postmortem",), ("logs",)),
        Template("Quiet the {service} alert that fires every {day}",
                 "It has woken somebody {number} times this month and was never a fault.",
                 ("alerts",), ("triage",)),
        Template("Replay the events that {service} lost for {port}",
                 "{number} hours of messages sit in the dead-letter queue. Check that a replay is harmless.",
                 ("recovery", "{service}"), ("code",)),
        Template("Why did {service} not page anybody on {day}?",
                 "The rule matched, the notification didn't go out. Follow it through all the hops.",
                 ("postmortem", "alerts"), ("logs",)),
        Template("Customers of {partner} see each other's references",
                 "Reported once. Treat it as serious until it is shown not to be.",
                 ("incident", "privacy"), ("code", "triage")),
        Template("Rank the error messages of {service} by users hit",
                 "The top {number} are enough. Say for each whether it is ours or theirs.",
                 ("analysis",), ("logs",)),
        Template("Make the {service} health check tell the truth",
                 "It was green while {service} {symptom}. Let it fail when the work fails.",
                 ("reliability",), ("code",)),
        Template("Status page: say what happened in {port}",
                 "Three sentences that a customer understands. Have the on-call lead read it.",
                 ("communication",)),
        Template("Certificate of the {service} endpoint in {port} ends in {number} days",
                 "It was not renewed by itself. Renew it, then find out why.",
                 ("incident", "security"), ("triage",)),
        Template("Action item: time-out for calls from {service} to {partner}",
                 "From the last review: {number} seconds, and an answer from the cache behind it.",
                 ("action-item",), ("code",)),
    ),
    GROWTH: (
        Template("Guide for {audience}: shipping through {port}",
                 "What papers, how long, what it costs. About {number}00 words, with one worked example.",
                 ("guide",), ("writing",)),
        Template("Interview notes: how {audience} choose a forwarder",
                 "Read the {number} transcripts, and pull out what they say in their own words.",
                 ("research",), ("research",)),
        Template("Test a shorter quote form with {audience}",
                 "Two fields fewer. We need {number} days of traffic before we believe anything.",
                 ("experiment",), ("design",)),
        Template("Refresh {channel} for {quarter}",
                 "Prices, screenshots and the port list are out of date. Keep the addresses as they are.",
                 ("content",), ("writing",)),
        Template("Case study with {partner}",
                 "They saved {number} % on empty runs. Ask for a quote and a picture that we may use.",
                 ("case-study",), ("writing",)),
        Template("Compare our rates in {port} with what is public",
                 "Ten lanes, same week, same container. Note where each figure comes from.",
                 ("research", "pricing"), ("research",)),
        Template("Welcome mails for {audience}",
                 "Three mails in {number} days, each with one thing to do.",
                 ("onboarding",), ("writing",)),
        Template("Landing page for the {port} lane",
                 "Transit times, cut-off days and one form. It has to load in a second on a phone.",
                 ("page",), ("design",)),
        Template("Why do {audience} leave at the payment step?",
                 "Look at {number} recordings, and sort them by what happened before.",
                 ("research", "conversion"), ("research",)),
        Template("Glossary entry: what {audience} call demurrage",
                 "In plain words, with the two words that people mix up.",
                 ("content", "seo"), ("writing",)),
        Template("Pictures for {channel}: yards in {port}",
                 "{number} pictures that are ours to use, with a text for who can't see them.",
                 ("design",), ("design",)),
    ),
    DATA: (
        Template("Backfill {table} for {port}",
                 "{number} days are missing after the move. Compare the counts with the source, per day.",
                 ("backfill",), ("pipelines",)),
        Template("Dashboard: {metric} by lane",
                 "Weekly, with the last {number} weeks. Somebody has to see in five seconds if it is bad.",
                 ("dashboard",), ("charts",)),
        Template("Duplicate rows in {table} since {day}",
                 "{number} in a thousand. Find which feed sends them twice, then remove ours.",
                 ("quality",), ("sql",)),
        Template("Define {metric} once",
                 "Finance and operations differ by {number} %. Write the definition, and one query for both.",
                 ("definition",), ("sql",)),
        Template("Load the files of {partner} every hour",
                 "Today it is once a night, by hand on {day}. Late files must not stop the others.",
                 ("pipeline",), ("pipelines",)),
        Template("Forecast {metric} for {quarter}",
                 "A simple model first. Show how wrong it would have been last year.",
                 ("forecast",), ("charts",)),
        Template("Make the {table} load idempotent",
                 "A second run on {day} doubled everything. Key it by source and sequence.",
                 ("pipeline", "quality"), ("pipelines",)),
        Template("Which customers drive {metric}?",
                 "The top {number}, with their share, and whether it is new.",
                 ("analysis",), ("sql",)),
        Template("Partition {table} by month",
                 "Queries for one week read the whole table. Keep the view, so that no report breaks.",
                 ("performance",), ("sql",)),
        Template("Check {table} against what {partner} reports",
                 "Sample {number}00 rows. Differences of time zone don't count, missing rows do.",
                 ("reconciliation",), ("sql",)),
        Template("Archive {table} older than {number} years",
                 "Legal has agreed. Keep a way to bring one customer's rows back within a day.",
                 ("retention",), ("pipelines", "sql")),
        Template("Alert when {table} stops growing",
                 "It stood still for {number} hours on {day}, and nobody saw it.",
                 ("quality", "alerts"), ("sql",)),
    ),
}  # fmt: skip

NOTES: dict[str, tuple[tuple[str, ...], ...]] = {
    PLATFORM: (
        ("reading the code and the last three changes", "reproduced it on a branch",
         "setting up a place to try it", "listing who depends on it"),
        ("first version runs locally", "{number} of 40 tests need a change",
         "pipeline is green on the branch", "the limit holds in a load test"),
        ("rolling out to one region", "measuring before and after", "tidying up, writing the notes",
         "last check: back-out works"),
    ),
    INCIDENTS: (
        ("collecting logs from {port}", "narrowed to the last two deploys",
         "comparing a good and a bad request", "asking {partner} for their side"),
        ("the fault follows one node", "a retry storm, started by a slow disk",
         "found it: a time-out shorter than the one behind it", "timeline complete up to the first alert"),
        ("fix is out in {port}, watching", "error rate is back to normal",
         "checking that nothing was lost", "writing down what would have caught it"),
    ),
    GROWTH: (
        ("reading what we have already", "{number} sources so far", "outline is ready",
         "looked at how {audience} ask for it"),
        ("first draft, too long still", "two versions to choose from", "half of the examples done",
         "numbers checked against the rate card"),
        ("cutting it down", "checked on a phone", "links and pictures in place",
         "reads well aloud now"),
    ),
    DATA: (
        ("profiling {table}", "counts differ on {number} days", "wrote the check first",
         "found the owner of the feed"),
        ("backfilled up to {day}", "query is down to {number} seconds", "{number}0 % of the rows agree",
         "the late files are handled"),
        ("comparing with last month", "a second run changes nothing", "documenting the columns",
         "chart is up, colours fixed"),
    ),
}  # fmt: skip

OUTCOMES: dict[str, tuple[str, ...]] = {
    "build": ("Builds in {number} minutes on the new image, and the cache is shared.",
              "Moved; two scripts relied on a tool that the old image happened to have."),
    "upgrade": ("Upgraded. One call was renamed, everything else works as before.",
                "Done and live in all regions. Back-out is one flag."),
    "performance": ("p99 is down by {number} %, at the same cost.",
                    "It no longer starves at peak: watched over {day}'s rush."),
    "security": ("Old credentials are refused since {day}; nothing broke.",
                 "Closed. The owners of two exceptions are named in the list."),
    "cost": ("{number} % less at the same load. Limits are lowered, alerts adjusted.",),
    "delivery": ("It stopped a bad build on the first day. The runbook has a new section.",
                 "Live for all branches; takes {number} seconds when nothing is wrong."),
    "tests": ("A race on a temporary file. Fixed, and green in {number}00 runs.",
              "Quarantined, with the trace that shows it. The fix needs the owner."),
    "reliability": ("Drill passed in {number} minutes. Two steps were missing and are written down.",
                    "It fails now when the work fails; tried by pulling the plug."),
    "observability": ("Traces go through. Most of the latency is on the far side.",),
    "cleanup": ("All removed, {number}0 lines fewer. No behaviour changed.",),
    "incident": ("Cause: a change of {day} to the retry policy. Fixed, and a test holds it.",
                 "Contained in {number} minutes; nobody's data was seen by others."),
    "postmortem": ("The timeline is complete, with sources. Three action items, all small.",),
    "alerts": ("It now needs five minutes of failure. It would have fired twice this month, both right.",),
    "recovery": ("Everything replayed, counts agree with {partner}. Nobody has to do anything.",),
    "analysis": ("Three of {number} make up most of it. The table is attached.",),
    "communication": ("Three sentences, read by the on-call lead, published.",),
    "action-item": ("Done as agreed in the review; tried with the far side switched off.",),
    "guide": ("Ready to publish: {number}00 words, two pictures, checked by the {port} desk.",),
    "research": ("Sorted by theme, in their own words. The surprise is how few mention price.",
                 "Sources for each figure are named; two lanes could not be compared."),
    "experiment": ("The shorter version wins by {number} %, but only on phones.",),
    "content": ("Rewritten, half as long, every link checked.",),
    "case-study": ("Approved by the customer, with a picture that we may use.",),
    "onboarding": ("Three mails, one thing to do in each. The second was read by a test group.",),
    "page": ("It is up behind a flag, and loads in 0.8 s on a slow line.",),
    "design": ("{number} pictures, rights cleared, each with a text for who can't see it.",),
    "backfill": ("All days are there; counts agree with the source to the row.",),
    "dashboard": ("It is up, with the last {number} weeks. {metric} is worst in {port}.",),
    "quality": ("Found the feed that did it. Old rows are repaired, and a check guards it.",),
    "definition": ("Written down, agreed by both, and one query behind it.",),
    "pipeline": ("Runs every hour since {day}; a second run changes nothing.",),
    "forecast": ("A plain seasonal model. It would have been {number} % off last year.",),
    "reconciliation": ("Differences are explained but for {number} rows, which are listed.",),
    "retention": ("Archived. Bringing one customer back took {number} minutes in a test.",),
}  # fmt: skip
ANY_OUTCOME = (
    "Done as described. One follow-up is noted in the comments.",
    "Done; somebody who had not seen it before got through it alone.",
)
REJECTIONS = (
    "The numbers don't say over which days. Add the range, then it's fine.",
    "Works, but there is no way back if it goes wrong at night. Please add one.",
    "This fixes the symptom in one place; the same call is in two others.",
    "Too long for who should read it. Half of it, please.",
    "I can't reproduce the result with the steps as written.",
    "The test passes without the change, too.",
    "Good, except that it names a customer. Take that out.",
    "The error case is missing: what happens when {partner} doesn't answer?",
)
FAILURES = (
    "no access to the account of {partner}; the request is out",
    "the staging copy of {table} is older than the change",
    "the build machine ran out of disk three times",
    "the documentation contradicts the API; somebody who knows has to decide",
    "rate limit of the provider reached for today",
    "the examples that the description points to are gone",
)
BLOCKS = (
    "waiting for legal to answer about {port}",
    "needs the new contract with {partner}",
    "frozen until the {quarter} close",
    "the vendor has confirmed the bug; fix promised for {day}",
    "two owners disagree; decision in {day}'s meeting",
    "waits for the security review",
)
REMARKS = (
    "Please keep {partner} in the loop, they asked twice.",
    "Careful, {service} reads this too.",
    "We tried something like it last {quarter}; the notes are in the old tracker.",
    "Customer in {port} has this on their list for {day}.",
    "Could this wait for the other one? They touch the same files.",
    "I have moved the date, {day} was never realistic.",
    "Is {number} % good enough here, or do we need all of it?",
    "This one matters more than its priority says.",
)
QUESTIONS = (
    "{who} should the old behaviour stay for {partner}, or may it go?",
    "{who} I found two definitions. Which one counts?",
    "{who} done up to {port}; the rest needs access that I don't have.",
    "{who} the figures of {day} look wrong at the source. Go on without them?",
    "{who} there is a quicker way that costs {number} minutes of downtime. Worth it?",
)
REPLIES = (
    "{who} go on without it, and say so in the summary.",
    "{who} the newer one. I'll have the other removed.",
    "{who} no downtime, please. The slow way is fine.",
    "{who} access is granted, try again.",
    "{who} keep it for now. We'll decide in the {day} meeting.",
    "{who} good catch. Make it a mission of its own.",
)
THANKS = (
    "Thanks, that settles it.", "Understood, going on.", "Noted in the description.",
    "Done, see the last commit.", "Agreed.",
)  # fmt: skip
PRIORITIES = (
    *[Priority.LOW] * 4, *[Priority.NORMAL] * 10, *[Priority.HIGH] * 5, Priority.URGENT,
)  # fmt: skip


def fill(chance: Random, text: str, **known: str) -> str:
    """Return a text with each slot filled in."""
    values = _Values(chance, known)
    return text.format_map(values)


def idea(chance: Random, board: str) -> Idea:
    """Return a mission for a board."""
    template = chance.choice(IDEAS[board])
    known = {name: chance.choice(values) for name, values in SLOTS.items() if name != "number"}
    title = fill(chance, template.title, **known)
    return Idea(
        title=title[0].upper() + title[1:],
        description=fill(chance, template.description, **known),
        labels=tuple(dict.fromkeys(fill(chance, label, **known) for label in template.labels)),
        capabilities=template.capabilities,
        priority=chance.choice(PRIORITIES),
    )


def note(chance: Random, board: str, percent: int) -> str:
    """Return what an agent says when it is so far."""
    early, middle, late = NOTES[board]
    return fill(chance, chance.choice(early if percent < 35 else middle if percent < 70 else late))


def summary(chance: Random, labels: Sequence[str]) -> str:
    """Return what an agent hands in for a mission with these labels."""
    fitting = next((OUTCOMES[label] for label in labels if label in OUTCOMES), ANY_OUTCOME)
    return fill(chance, chance.choice(fitting))


class _Values(dict[str, str]):
    """The slots of one text: known ones, and others as chance has it."""

    def __init__(self, chance: Random, known: dict[str, Any]) -> None:
        super().__init__(known)
        self._chance = chance

    def __missing__(self, slot: str) -> str:
        self[slot] = self._chance.choice(SLOTS[slot])
        return self[slot]
