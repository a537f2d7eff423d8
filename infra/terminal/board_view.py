"""A board as text: its columns side by side where there is room, one below the other where there is not.

Pure: a document in, lines out, no wider and no more than asked for. Colours are the terminal's own, and nothing is
painted behind the text, so that it reads on light and on dark.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from infra.terminal.output import PRIORITY_STYLES, STAGE_STYLES, Json, age, clean, moment

COLUMN_CELLS_MIN = 20
GAP = " "
TITLE_LINES_MAX = 2
STACKED_ROWS_MIN = 2
PRIORITY_MARKS = {"urgent": "‼", "high": "▲", "normal": "·", "low": "▽"}
LIVE_STYLES = {"live": "green", "connecting": "yellow", "away": "red"}

NameOf = Callable[[str], str]


@dataclass(frozen=True)
class Scene:
    """What there is to draw beside the board itself."""

    now: datetime
    name_of: NameOf
    status: str = ""
    """`live`, `connecting`, `away`; of a single frame nothing, or that it is of the past."""
    changed: Collection[str] = ()
    """Cards that have just changed, and stand out for a moment."""
    events: tuple[Text, ...] = ()
    """The newest ones, in words, oldest first."""
    hint: str = ""

    def name(self, identifier: str) -> str:
        """Return a name that no terminal obeys."""
        return clean(self.name_of(identifier))


@dataclass
class _Column:
    name: str
    stage: str
    wip_limit: int | None
    cards: list[Json] = field(default_factory=list)

    @property
    def style(self) -> str:
        return STAGE_STYLES.get(self.stage, "")


def draw(board: Json, scene: Scene, width: int, height: int | None) -> Text:
    """Return a board as at most `height` lines (None: as many as it takes), each of at most `width` cells."""
    columns = [_column(column) for column in board["columns"]]
    head, foot = _head(board, scene, width), _foot(scene, width)
    room = None if height is None else max(1, height - len(head) - len(foot))
    cells = (width - len(GAP) * (len(columns) - 1)) // max(1, len(columns))
    if cells >= COLUMN_CELLS_MIN:
        body = _side_by_side([_tall(column, scene, cells, room) for column in columns], cells)
    else:
        body = _stacked(columns, scene, width, room)
    if room is not None:
        # What stands below stays at the bottom of the screen.
        body = (body + [Text()] * (room if foot else 0))[:room]
    lines = [*head, *body, *foot]
    for line in lines:
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines if height is None else lines[:height])


def _column(column: Json) -> _Column:
    cards = list(column["cards"])
    if column["stage"] == "done":
        cards.reverse()  # what is newest stands at the end, and is what one wants to see
    return _Column(clean(column["name"]), column["stage"], column["wip_limit"], cards)


# Above and below


def _head(board: Json, scene: Scene, width: int) -> list[Text]:
    left = Text.assemble(
        ("Mission Control", "bold"), (" · ", "dim"), (clean(board["name"]), "bold cyan")
    )
    right = Text()
    if scene.status:
        right.append(f"● {scene.status}", style=LIVE_STYLES.get(scene.status, "magenta"))
        right.append("  ")
    form = "%Y-%m-%d %H:%M:%S" if "as_of" in board else "%H:%M:%S"
    at = f"{scene.now.astimezone():{form}}"
    # One piece: as two, they run together in a picture that is shown with a wider font.
    right.append(f"position {board['position']} · {at}", style="dim")
    return [_ends(left, right, width), Text()]


def _foot(scene: Scene, width: int) -> list[Text]:
    if not scene.events and not scene.hint:
        return []
    lines = [Text("─" * width, style="dim"), *(line.copy() for line in scene.events)]
    if scene.hint:
        lines.append(Text(scene.hint, style="dim"))
    return lines


# Columns side by side


def _tall(column: _Column, scene: Scene, cells: int, room: int | None) -> list[Text]:
    """Return a column's lines: its head, and as many cards as there is room for."""
    lines = [_title(column, cells), Text("━" * cells, style=column.style or "dim")]
    for number, card in enumerate(column.cards):
        drawn = _row(card, scene, cells) if column.stage == "done" else _card(card, scene, cells)
        left = len(column.cards) - number
        needed = len(drawn) + (1 if left > 1 else 0)
        if room is not None and len(lines) + needed > room:
            lines.append(Text(f"+ {left} more", style="dim italic"))
            break
        lines += drawn
    return lines


def _title(column: _Column, cells: int) -> Text:
    count = len(column.cards)
    full = column.wip_limit is not None and count >= column.wip_limit
    shown = f"{count}" if column.wip_limit is None else f"{count}/{column.wip_limit}"
    name = Text(column.name, style=f"bold {column.style}")
    return _ends(name, Text(shown, style="bold red" if full else "dim"), cells)


def _card(card: Json, scene: Scene, cells: int) -> list[Text]:
    """Return a card: a frame whose top tells priority and age, the title, who works on it, and what is wrong."""
    inner = cells - 4
    urgency = PRIORITY_STYLES.get(card["priority"], "")
    border = _border(card, scene)
    told = Text()
    if card["priority"] != "normal":
        mark = PRIORITY_MARKS.get(card["priority"], "")
        told = Text(f" {mark} {card['priority']} ", style=urgency)
    since = Text(f" {age(moment(card['updated_at']), scene.now)} ", style="dim")
    dashes = max(0, cells - 4 - told.cell_len - since.cell_len)
    top = Text.assemble(("╭─", border), told, ("─" * dashes, border), since, ("─╮", border))
    content = [_framed(line, inner, border) for line in _content(card, scene, inner)]
    return [top, *content, _card_end(card, cells, border)]


def _card_end(card: Json, cells: int, border: str) -> Text:
    """Return the lower edge of a card, which fills up as the work of its holder goes on."""
    percent = card["progress_percent"]
    if not card["holder"]:
        return Text(f"╰{'─' * (cells - 2)}╯", style=border)
    number = f" {percent}% "
    track = cells - 3 - len(number)
    done = round(track * percent / 100)
    return Text.assemble(
        ("╰", border), ("━" * done, "bold green"), ("─" * (track - done), border),
        (number, "green"), ("─╯", border),
    )  # fmt: skip


def _content(card: Json, scene: Scene, cells: int) -> list[Text]:
    style = "bold" if card["id"] not in scene.changed else "bold green"
    lines = [Text(line, style=style) for line in _wrapped(clean(card["title"]), cells)]
    work = _work(card, scene, cells)
    if work is not None:
        lines.append(work)
    reason = _obstacle(card)
    if reason:
        lines.append(Text(_fit(f"⊘ {reason}", cells), style="red"))
    if card["labels"]:
        labels = " ".join(f"#{clean(label)}" for label in card["labels"])
        lines.append(Text(_fit(labels, cells), style="dim"))
    return lines


def _work(card: Json, scene: Scene, cells: int) -> Text | None:
    """Say who works on it, else who handed it in, else who is responsible."""
    if card["holder"]:
        return Text(_fit(f"◆ {scene.name(card['holder'])}", cells), style="cyan")
    whom = card["submitted_by"] or next(iter(card["assignees"]), None)
    if whom is None:
        return None
    mark = "✓" if card["submitted_by"] else "◇"
    return Text(_fit(f"{mark} {scene.name(whom)}", cells), style="cyan")


def _obstacle(card: Json) -> str:
    if card["blocked_reason"]:
        return clean(card["blocked_reason"])
    waits = len(card["unmet_dependencies"])
    return f"waits for {waits} other{'s' if waits > 1 else ''}" if waits else ""


def _border(card: Json, scene: Scene) -> str:
    if card["id"] in scene.changed:
        return "bold green"
    if _obstacle(card):
        return "red"
    return "cyan" if card["holder"] else "dim"


def _framed(line: Text, inner: int, border: str) -> Text:
    blank = " " * max(0, inner - line.cell_len)
    return Text.assemble(("│ ", border), line, blank, (" │", border))


def _side_by_side(columns: list[list[Text]], cells: int) -> list[Text]:
    lines = []
    for number in range(max(map(len, columns), default=0)):
        line = Text()
        for index, column in enumerate(columns):
            part = column[number] if number < len(column) else Text()
            line.append_text(part)
            if index < len(columns) - 1:
                line.append(" " * max(0, cells - part.cell_len) + GAP)
        lines.append(line)
    return lines


# Columns one below the other


def _stacked(columns: list[_Column], scene: Scene, width: int, room: int | None) -> list[Text]:
    """Return a section for each column, a line for each card; what has no room is counted."""
    shares = _shares([len(column.cards) for column in columns], room)
    lines = []
    for column, share in zip(columns, shares, strict=True):
        lines.append(_title(column, width))
        shown = column.cards[:share]
        hidden = len(column.cards) - len(shown)
        if hidden and shown:
            shown, hidden = shown[:-1], hidden + 1
        for card in shown:
            lines += _row(card, scene, width)
        if hidden:
            lines.append(Text(f"  + {hidden} more", style="dim italic"))
    return lines


def _shares(wanted: list[int], room: int | None) -> list[int]:
    """Give each column some lines, evenly, and what one does not need to the others."""
    if room is None:
        return wanted
    left = max(len(wanted) * STACKED_ROWS_MIN, room - len(wanted))
    shares = [0] * len(wanted)
    while left > 0 and any(share < want for share, want in zip(shares, wanted, strict=True)):
        for index, want in enumerate(wanted):
            if shares[index] < want and left > 0:
                shares[index] += 1
                left -= 1
    return shares


def _row(card: Json, scene: Scene, cells: int) -> list[Text]:
    """Return a card in a line."""
    done = card["stage"] == "done"
    mark = "✓" if done else PRIORITY_MARKS.get(card["priority"], "·")
    if _obstacle(card) and not done:
        mark = "⊘"
    style = "green" if done else PRIORITY_STYLES.get(card["priority"], "")
    right = Text(f" {age(moment(card['updated_at']), scene.now)}", style="dim")
    if card["holder"]:
        told = f" {scene.name(card['holder'])} {card['progress_percent']}%"
        right = Text(_fit(told, cells // 3), style="cyan") + right
    changed = card["id"] in scene.changed
    title = _fit(clean(card["title"]), cells - right.cell_len - 3)
    left = Text.assemble((f"{mark} ", style), (title, "bold green" if changed else ""))
    return [_ends(left, right, cells)]


# Words and cells


def _ends(left: Text, right: Text, cells: int) -> Text:
    """Put one text at each end of a line; the left one gives way."""
    if left.cell_len + right.cell_len + 1 > cells:
        left = left.copy()
        left.truncate(max(0, cells - right.cell_len - 1), overflow="ellipsis")
    blank = " " * max(0, cells - left.cell_len - right.cell_len)
    return Text.assemble(left, blank, right)


def _fit(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    return f"{set_cell_size(text, max(0, cells - 1)).rstrip()}…" if cells > 0 else ""


def _wrapped(text: str, cells: int) -> list[str]:
    """Break a title into lines between words; a word that is too long is cut."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < TITLE_LINES_MAX:
        line = words.pop(0)
        while words and cell_len(f"{line} {words[0]}") <= cells:
            line = f"{line} {words.pop(0)}"
        lines.append(line)
    if words:
        lines[-1] = f"{lines[-1]} {' '.join(words)}"
    return [_fit(line, cells) for line in lines]


def changed_cards(before: Mapping[str, int], board: Json) -> dict[str, int]:
    """Return the cards whose version is not the one from before."""
    return {card_id: v for card_id, v in versions(board).items() if before.get(card_id) != v}


def versions(board: Json) -> dict[str, int]:
    """Return each card's version."""
    return {card["id"]: card["version"] for card in _cards(board)}


def _cards(board: Json) -> Iterable[Json]:
    return (card for column in board["columns"] for card in column["cards"])
