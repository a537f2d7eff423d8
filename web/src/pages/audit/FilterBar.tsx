import { X } from "lucide-react";
import { useId, useMemo, useState } from "react";
import { agentsModel, membersModel } from "@/api/queries";
import { isComposing } from "@/lib/keys";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import { Button } from "@/ui/Button";
import type { Envelope, Filters } from "./log";
import { auditSearch, localOf, timeOfLocal } from "./search";

const FIELD =
  "h-8 min-w-0 rounded-md border bg-raised px-2 text-base text-ink placeholder:text-ink-3 aria-invalid:border-bad";
const NOUNS = ["mission.*", "agent.*", "board.*", "comment.*", "user.*", "workspace.*"];

/** What a field takes, said where it was given something else. */
const WRONG = {
  type: "Not a type: write one like mission.blocked.v1, or mission.* for all of them",
  stream: "Not a stream: write the whole id, as an event has it",
};

/** By what the log is narrowed down. Each field takes effect when it is left, or by Enter. */
export function FilterBar({
  filters,
  onChange,
  events,
}: {
  filters: Filters;
  onChange: (next: Filters) => void;
  /** What is shown: its types are offered. */
  events: readonly Envelope[];
}) {
  const types = useId();
  const agents = useLive(agentsModel).data?.state;
  const members = useLive(membersModel).data?.state;
  const known = useMemo(
    () => [...NOUNS, ...[...new Set(events.map(({ type }) => type))].sort()],
    [events],
  );
  const set = (part: keyof Filters, value: string | undefined) => {
    const { [part]: _, ...rest } = filters;
    onChange(value ? { ...rest, [part]: value } : rest);
  };
  return (
    <search
      aria-label="Filter the log"
      className="@container shrink-0 border-b border-line px-3 py-2 md:px-4"
    >
      <div className="grid grid-cols-2 items-start gap-2 @xl:grid-cols-6 @4xl:flex">
        <select
          aria-label="Actor"
          value={filters.actor ?? ""}
          onChange={({ target }) => set("actor", target.value)}
          className={cn(
            FIELD,
            "@xl:col-span-2 @4xl:w-44",
            filters.actor ? "border-accent" : "border-line-strong",
          )}
        >
          <option value="">Every actor</option>
          <optgroup label="People">
            {[...(members?.values() ?? [])].map(({ id, name }) => (
              <option key={id} value={id}>
                {name ?? "Former member"}
              </option>
            ))}
          </optgroup>
          <optgroup label="Agents">
            {[...(agents?.values() ?? [])].map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </optgroup>
        </select>
        <Text
          key={`type ${filters.type}`}
          label="Type"
          hint="Type, like mission.*"
          part="type"
          value={filters.type}
          onChange={set}
          list={types}
          className="@xl:col-span-2 @4xl:w-48"
        />
        <datalist id={types}>
          {known.map((type) => (
            <option key={type} value={type} />
          ))}
        </datalist>
        <Text
          key={`stream ${filters.stream}`}
          label="Stream"
          hint="Stream id"
          part="stream"
          value={filters.stream}
          onChange={set}
          className="col-span-2 @4xl:w-44"
        />
        {(["since", "until"] as const).map((part) => (
          <label
            key={part}
            className="flex h-8 min-w-0 items-center gap-1.5 text-sm text-ink-3 @max-md:col-span-2 @xl:col-span-3"
          >
            <span className="@max-md:w-8">{part === "since" ? "From" : "To"}</span>
            <input
              type="datetime-local"
              aria-label={part === "since" ? "From" : "To"}
              value={localOf(filters[part])}
              onChange={({ target }) => set(part, timeOfLocal(target.value))}
              className={cn(
                FIELD,
                "w-full",
                filters[part] ? "border-accent" : "border-line-strong",
              )}
            />
          </label>
        ))}
        {Object.keys(filters).length > 0 && (
          <Button
            kind="quiet"
            onClick={() => onChange({})}
            className="@max-4xl:col-span-full @max-4xl:justify-self-start"
          >
            <X size={14} aria-hidden />
            Clear
          </Button>
        )}
      </div>
    </search>
  );
}

function Text({
  label,
  hint,
  part,
  value,
  onChange,
  list,
  className,
}: {
  label: string;
  hint: string;
  part: "type" | "stream";
  value: string | undefined;
  onChange: (part: keyof Filters, value: string | undefined) => void;
  list?: string;
  className: string;
}) {
  const note = useId();
  const [text, setText] = useState(value ?? "");
  const [isTried, setTried] = useState(false);
  const wanted = text.trim().toLowerCase();
  const read = auditSearch({ [part]: wanted })[part];
  const isWrong = isTried && wanted !== "" && read === undefined;
  const done = () => {
    setTried(true);
    if ((wanted === "" || read !== undefined) && read !== value) onChange(part, read);
  };
  return (
    <div className={cn("min-w-0", className)}>
      <input
        aria-label={label}
        aria-invalid={isWrong || undefined}
        aria-describedby={note}
        placeholder={hint}
        list={list}
        value={text}
        spellCheck={false}
        onChange={({ target }) => setText(target.value)}
        onBlur={done}
        onKeyDown={(event) => event.key === "Enter" && !isComposing(event) && done()}
        className={cn(FIELD, "w-full", value ? "border-accent" : "border-line-strong")}
      />
      <p
        id={note}
        aria-live="polite"
        className={cn(
          "mt-1 text-sm",
          isWrong ? "text-bad" : wanted === (value ?? "") ? "sr-only" : "text-ink-3",
        )}
      >
        {isWrong ? WRONG[part] : "Enter applies it"}
      </p>
    </div>
  );
}
