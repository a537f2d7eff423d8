import { Plus, X } from "lucide-react";
import { type KeyboardEvent, useRef, useState } from "react";
import { api, body, type Done } from "@/api/client";
import { isUnknown, problemOf } from "@/api/problem";
import { repeatable } from "@/api/repeatable";
import { isComposing } from "@/lib/keys";
import type { Column } from "@/models/types";
import { toast } from "@/ui/announce";
import { IconButton } from "@/ui/Button";
import { INPUT } from "@/ui/Field";
import { useFocusKept, useOpenedBy } from "@/ui/focus";
import { useBoardContext } from "./context";

/**
 * Puts a mission into a column by its title; Enter adds and stays, Escape closes. A title that is refused is in
 * the field again, or offered under it where something else is being written by then.
 */
export function QuickAdd({
  column,
  onAdded,
}: {
  column: Column;
  onAdded: (missionId: string) => void;
}) {
  const { board } = useBoardContext();
  const [title, setTyped] = useState<string | null>(null);
  // For a refusal: what the field has when it comes.
  const latest = useRef(title);
  const setTitle = (next: string | null) => {
    latest.current = next;
    setTyped(next);
  };
  const [refused, setRefused] = useState<readonly Refusal[]>([]);
  const forget = (text: string) => setRefused((now) => now.filter(({ title }) => title !== text));
  const [once] = useState(repeatable);
  const part = useFocusKept<HTMLDivElement>();
  const button = useOpenedBy<HTMLButtonElement>(title !== null);
  const add = async (wanted: string) => {
    forget(wanted);
    const mission = { title: wanted, board_id: board.id, column_id: column.id } as never;
    try {
      const made = await once(mission, (headers) =>
        body<Done>(api.POST("/api/missions", { headers, body: mission })),
      );
      onAdded(made.id);
    } catch (error) {
      const isOpen = isUnknown(error);
      if (latest.current === "") setTitle(wanted);
      else {
        forget(wanted);
        setRefused((now) => [...now, { title: wanted, isOpen }]);
      }
      const words = isOpen
        ? `It isn't known whether “${wanted}” was added: no answer came. Add it again, and it is there once.`
        : `“${wanted}” was not added: ${problemOf(error).message}`;
      toast(words, "bad");
    }
  };
  const addTyped = () => {
    const wanted = title?.trim();
    if (!wanted) return;
    setTitle("");
    void add(wanted);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (isComposing(event)) return;
    if (event.key === "Enter") addTyped();
    else if (event.key === "Escape") setTitle(null);
  };
  return (
    <div ref={part} className="m-1.5 mt-0 flex flex-col gap-1">
      {title === null ? (
        <button
          ref={button}
          type="button"
          aria-label={`Add a mission to ${column.name}`}
          onClick={() => setTitle("")}
          className="transition-quick flex h-8 items-center gap-2 rounded-md px-2 text-ink-3 hover:bg-hover hover:text-ink"
        >
          <Plus size={14} aria-hidden />
          Add a mission
        </button>
      ) : (
        <input
          // biome-ignore lint/a11y/noAutofocus: it was just asked for, by this very button
          autoFocus
          aria-label={`Title of a new mission in ${column.name}`}
          placeholder="What is to be done?"
          value={title}
          maxLength={200}
          onChange={(event) => setTitle(event.target.value)}
          onKeyDown={onKeyDown}
          onBlur={() => title.trim() === "" && setTitle(null)}
          className={INPUT}
        />
      )}
      {refused.map((refusal) => (
        <Refused
          key={refusal.title}
          refusal={refusal}
          again={() => void add(refusal.title)}
          forget={() => forget(refusal.title)}
        />
      ))}
    </div>
  );
}

/** A mission that was not added, as far as is known where it `isOpen`. */
type Refusal = { title: string; isOpen: boolean };

/** Such a mission, for another try. */
function Refused({
  refusal: { title, isOpen },
  again,
  forget,
}: {
  refusal: Refusal;
  again: () => void;
  forget: () => void;
}) {
  return (
    <p className="flex min-w-0 items-center gap-1 px-2 text-sm">
      <span className="min-w-0 flex-1 truncate text-ink-2" title={title}>
        {isOpen ? "Perhaps not added" : "Not added"}: {title}
      </span>
      <button
        type="button"
        aria-label={`Try again to add ${title}`}
        onClick={again}
        className="font-medium text-accent"
      >
        Try again
      </button>
      <IconButton label={`Give ${title} up`} className="size-7" onClick={forget}>
        <X size={13} aria-hidden />
      </IconButton>
    </p>
  );
}
