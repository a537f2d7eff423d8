import { Plus, X } from "lucide-react";
import { type ReactNode, useId, useMemo, useState } from "react";
import { agentsModel, boardModel, membersModel } from "@/api/queries";
import { usePainted } from "@/lib/later";
import { cn } from "@/lib/text";
import { absolute, day } from "@/lib/time";
import { useLive } from "@/live/query";
import { PRIORITIES, PRIORITY_NAME } from "@/models/types";
import { useShortcuts } from "@/shell/shortcuts";
import { Ago } from "@/ui/Ago";
import { useOpenedBy } from "@/ui/focus";
import { Menu, MenuItem } from "@/ui/Menu";
import { Avatar, PriorityMark, StageMark, Tag } from "@/ui/marks";
import { type Choice, Picker } from "@/ui/Picker";
import { assign, edit, moveTo, unassign } from "./commands";
import { useMission } from "./context";
import { useChangedSince } from "./moment";

const VALUE =
  "transition-quick -mx-2 flex min-h-7 min-w-0 max-w-full flex-wrap items-center gap-1.5 rounded-md px-2 py-1 text-left enabled:hover:bg-hover";
const PLAIN = "flex min-h-7 min-w-0 flex-wrap items-center gap-1.5 py-1";

/** Days beyond these are slips of the hand; a browser's field would take years of six digits. */
const [DUE_MIN, DUE_MAX] = ["2000-01-01", "2999-12-31"];

/** A mission's properties, each edited where it stands. */
export function Properties() {
  const { mission, nameOf } = useMission();
  const changed = useChangedSince();
  return (
    <dl className="flex flex-col">
      <Row label="Stage" isChanged={changed.has("stage")}>
        <Stage />
      </Row>
      <Row label="Priority" isChanged={changed.has("priority")}>
        <PriorityValue />
      </Row>
      <Row label="Assignees" isChanged={changed.has("assignees")}>
        <Assignees />
      </Row>
      <Row label="Labels" isChanged={changed.has("labels")}>
        <Words field="labels" placeholder="Add a label" />
      </Row>
      <Row label="Due" isChanged={changed.has("due")}>
        <Due />
      </Row>
      <Row label="Needs" isChanged={changed.has("required_capabilities")}>
        <Words field="required_capabilities" placeholder="Any agent" />
      </Row>
      {mission.failures > 0 && (
        <Row label="Failed">
          <span className="text-bad">
            {mission.failures === 1 ? "once" : `${mission.failures} times`}
          </span>
        </Row>
      )}
      <Row label="Created">
        <span className="flex min-w-0 items-center gap-1.5 text-ink-2">
          <Avatar who={nameOf(mission.created_by)} />
          <span className="truncate">{nameOf(mission.created_by).name}</span>
          <Ago time={mission.created_at} className="shrink-0 text-sm text-ink-3" />
        </span>
      </Row>
      <Row label="Changed">
        <Ago time={mission.updated_at} className="text-ink-2" />
      </Row>
    </dl>
  );
}

function Row({
  label,
  isChanged = false,
  children,
}: {
  label: string;
  isChanged?: boolean;
  children: ReactNode;
}) {
  return (
    <div className="grid grid-cols-[5.5rem_minmax(0,1fr)] items-start">
      <dt className="flex min-h-7 items-center gap-1.5 text-ink-3">
        {label}
        {isChanged && (
          <span title="Changed since" className="size-1.5 rounded-full bg-past">
            <span className="sr-only">, changed since</span>
          </span>
        )}
      </dt>
      <dd className="flex min-h-7 min-w-0 items-center">{children}</dd>
    </div>
  );
}

function Stage() {
  const { mission, columns, mayEdit } = useMission();
  const column = columns.find(({ id }) => id === mission.column_id);
  const inside = (
    <>
      <StageMark stage={mission.stage} />
      <span className="truncate">{column?.name ?? mission.stage}</span>
    </>
  );
  if (!mayEdit) return <span className={PLAIN}>{inside}</span>;
  return (
    <Menu
      trigger={
        <button type="button" aria-label={`Stage: ${column?.name ?? ""}`} className={VALUE}>
          {inside}
        </button>
      }
    >
      {columns.map((one) => (
        <MenuItem
          key={one.id}
          checked={one.id === mission.column_id}
          disabled={one.id === mission.column_id}
          onSelect={() => void moveTo(mission, one)}
        >
          <StageMark stage={one.stage} />
          {one.name}
        </MenuItem>
      ))}
    </Menu>
  );
}

function PriorityValue() {
  const { mission, mayEdit } = useMission();
  const inside = (
    <>
      <PriorityMark priority={mission.priority} />
      {PRIORITY_NAME[mission.priority]}
    </>
  );
  if (!mayEdit) return <span className={PLAIN}>{inside}</span>;
  return (
    <Menu
      trigger={
        <button
          type="button"
          aria-label={`Priority: ${PRIORITY_NAME[mission.priority]}`}
          className={VALUE}
        >
          {inside}
        </button>
      }
    >
      {PRIORITIES.map((priority) => (
        <MenuItem
          key={priority}
          checked={priority === mission.priority}
          onSelect={() => {
            if (priority !== mission.priority) void edit(mission, { priority });
          }}
        >
          <PriorityMark priority={priority} />
          {PRIORITY_NAME[priority]}
        </MenuItem>
      ))}
    </Menu>
  );
}

function Assignees() {
  const { mission, me, nameOf, mayEdit } = useMission();
  const agents = useLive(agentsModel).data?.state;
  const members = useLive(membersModel).data?.state;
  const choices = useMemo((): Choice[] => {
    const people = [...(members?.values() ?? [])]
      .filter(({ removed, disabled }) => !removed && !disabled)
      .map(({ id, name }) => ({ id, text: name ?? "Unnamed" }));
    const fleet = [...(agents?.values() ?? [])]
      .filter(({ lifecycle }) => lifecycle !== "retired")
      .map(({ id, name, role }) => ({ id, text: name, hint: role }));
    return [...people, ...fleet].map((choice) => ({
      ...choice,
      text: choice.id === me?.id ? `${choice.text} (you)` : choice.text,
      mark: <Avatar who={nameOf(choice.id)} />,
    }));
  }, [members, agents, nameOf, me]);
  const toggle = (id: string) =>
    void (mission.assignees.includes(id) ? unassign(mission, id) : assign(mission, id));
  useShortcuts(
    mayEdit && me !== undefined
      ? [{ keys: "i", label: "Assign to me", group: "Mission", run: () => toggle(me.id) }]
      : [],
  );
  const inside =
    mission.assignees.length === 0 ? (
      <span className="text-ink-3">{mayEdit ? "Anybody" : "Nobody in particular"}</span>
    ) : (
      mission.assignees.map((id) => (
        <span key={id} className="flex min-w-0 items-center gap-1.5">
          <Avatar who={nameOf(id)} working={id === mission.holder} />
          <span className="truncate">{nameOf(id).name}</span>
        </span>
      ))
    );
  if (!mayEdit) return <span className={PLAIN}>{inside}</span>;
  return (
    <Picker
      label="Assign to"
      choices={choices}
      chosen={mission.assignees}
      onPick={toggle}
      trigger={
        <button type="button" aria-label="Change the assignees" className={VALUE}>
          {inside}
        </button>
      }
    />
  );
}

/** A list of words: labels, or what an agent has to be able to do. */
function Words({
  field,
  placeholder,
}: {
  field: "labels" | "required_capabilities";
  placeholder: string;
}) {
  const { mission, mayEdit, asOf } = useMission();
  // Only of what there is to choose from.
  const board = useLive(boardModel(mission.board_id, asOf), usePainted()).data?.state;
  const agents = useLive(agentsModel).data?.state;
  const chosen = mission[field];
  const choices = useMemo((): Choice[] => {
    const cards = [...(board?.cards.values() ?? [])].flatMap((card) => card[field]);
    const able =
      field === "labels" ? [] : [...(agents?.values() ?? [])].flatMap((one) => one.capabilities);
    const words = new Set([...chosen, ...cards, ...able]);
    return [...words].sort().map((word) => ({ id: word, text: word }));
  }, [board, agents, chosen, field]);
  const inside =
    chosen.length === 0 ? (
      <span className="text-ink-3">{mayEdit || field !== "labels" ? placeholder : "None"}</span>
    ) : (
      chosen.map((word) => <Tag key={word}>{word}</Tag>)
    );
  if (!mayEdit) return <span className={PLAIN}>{inside}</span>;
  const toggle = (word: string) => {
    const has = chosen.includes(word);
    const words = has ? chosen.filter((one) => one !== word) : [...chosen, word];
    void edit(mission, { [field]: words });
  };
  return (
    <Picker
      label={field === "labels" ? "Labels" : "Capabilities that it needs"}
      choices={choices}
      chosen={chosen}
      onPick={toggle}
      create={toggle}
      empty="Type a word to add it"
      trigger={
        <button
          type="button"
          aria-label={field === "labels" ? "Change the labels" : "Change what it needs"}
          className={cn(VALUE, "group/words")}
        >
          {inside}
          {chosen.length > 0 && (
            <Plus
              size={12}
              aria-hidden
              // It takes no room: unseen, it must not begin a line.
              className="-mr-3 text-ink-3 opacity-0 group-hover/words:opacity-100"
            />
          )}
        </button>
      }
    />
  );
}

function Due() {
  const { mission, mayEdit, asOf, asOfTime } = useMission();
  const [isEditing, setIsEditing] = useState(false);
  const button = useOpenedBy<HTMLButtonElement>(isEditing);
  const { due } = mission;
  const shownAt = asOfTime === undefined ? Date.now() : Date.parse(asOfTime);
  const isLate = due !== null && !mission.completed && Date.parse(due) < shownAt;
  const inside =
    due === null ? (
      <span className="whitespace-nowrap text-ink-3">{mayEdit ? "Set a date" : "None"}</span>
    ) : (
      <span title={absolute(due)} className={cn("whitespace-nowrap", isLate && "text-bad")}>
        {day(due)}
        {asOf === undefined && (
          <>
            {" "}
            · <Ago time={due} />
          </>
        )}
      </span>
    );
  if (!mayEdit) return <span className={PLAIN}>{inside}</span>;
  if (isEditing) {
    return (
      <DueField
        due={due}
        onDay={(date) => void edit(mission, { due: endOfDay(date) })}
        onEnd={() => setIsEditing(false)}
      />
    );
  }
  return (
    <span className="group flex items-center">
      <button
        ref={button}
        type="button"
        aria-label={due === null ? "Set a due date" : `Due ${day(due)}: change`}
        onClick={() => setIsEditing(true)}
        className={VALUE}
      >
        {inside}
      </button>
      {due !== null && (
        <button
          type="button"
          aria-label="Take the due date away"
          title="Take the due date away"
          onClick={() => void edit(mission, { due: null })}
          className="ml-3 inline-flex size-6 items-center justify-center rounded-sm text-ink-3 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 hover:bg-hover hover:text-ink pointer-coarse:opacity-100"
        >
          <X size={12} aria-hidden />
        </button>
      )}
    </span>
  );
}

/** A field for the day that something is due. What is no day, or none that can be meant, stays there and is said. */
function DueField({
  due,
  onDay,
  onEnd,
}: {
  due: string | null;
  onDay: (date: string) => void;
  /** It was changed, or left as it was. */
  onEnd: () => void;
}) {
  const note = useId();
  const [isWrong, setWrong] = useState(false);
  const save = ({ value, validity }: HTMLInputElement) => {
    const isSame = value === localDay(due) && !validity.badInput;
    setWrong(!isSame && !validity.valid);
    if (!isSame && !validity.valid) return;
    onEnd();
    if (!isSame && value !== "") onDay(value);
  };
  return (
    <div className="min-w-0">
      <input
        type="date"
        // biome-ignore lint/a11y/noAutofocus: it was asked for just now
        autoFocus
        aria-label="Due"
        aria-invalid={isWrong || undefined}
        aria-describedby={isWrong ? note : undefined}
        defaultValue={localDay(due)}
        min={DUE_MIN}
        max={DUE_MAX}
        onChange={() => setWrong(false)}
        onBlur={(event) => save(event.currentTarget)}
        onKeyDown={(event) => {
          if (event.key === "Enter") save(event.currentTarget);
          if (event.key !== "Escape") return;
          event.stopPropagation();
          onEnd();
        }}
        className="-mx-2 h-7 rounded-md border border-line-strong bg-raised px-2 aria-invalid:border-bad"
      />
      {isWrong && (
        <p id={note} role="alert" className="mt-1 text-sm text-bad">
          Not a date: write a whole one, from {DUE_MIN.slice(0, 4)} to {DUE_MAX.slice(0, 4)}
        </p>
      )}
    </div>
  );
}

/** The day of a time here, as date fields have it. */
function localDay(time: string | null): string {
  if (time === null) return "";
  const at = new Date(time);
  const two = (number: number) => String(number).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** A day that something is due on ends where whoever says so is. */
function endOfDay(date: string): string {
  return new Date(`${date}T23:59:00`).toISOString();
}
