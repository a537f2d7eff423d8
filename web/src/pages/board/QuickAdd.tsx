import { Plus } from "lucide-react";
import { type KeyboardEvent, useState } from "react";
import { api } from "@/api/client";
import { problemOf } from "@/api/problem";
import type { Column } from "@/models/types";
import { toast } from "@/ui/announce";
import { INPUT } from "@/ui/Field";
import { useOpenedBy } from "@/ui/focus";
import { useBoardContext } from "./context";

/** Puts a mission into a column by its title; Enter adds and stays, Escape closes. */
export function QuickAdd({ column }: { column: Column }) {
  const { board } = useBoardContext();
  const [title, setTitle] = useState<string | null>(null);
  const button = useOpenedBy<HTMLButtonElement>(title !== null);
  const add = async () => {
    const wanted = title?.trim();
    if (!wanted) return;
    setTitle("");
    try {
      await api.POST("/api/missions", {
        body: { title: wanted, board_id: board.id, column_id: column.id } as never,
      });
    } catch (error) {
      setTitle(wanted);
      toast(`“${wanted}” was not added: ${problemOf(error).message}`, "bad");
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter") void add();
    else if (event.key === "Escape") setTitle(null);
  };
  if (title === null) {
    return (
      <button
        ref={button}
        type="button"
        aria-label={`Add a mission to ${column.name}`}
        onClick={() => setTitle("")}
        className="transition-quick m-1.5 mt-0 flex h-8 items-center gap-2 rounded-md px-2 text-ink-3 hover:bg-hover hover:text-ink"
      >
        <Plus size={14} aria-hidden />
        Add a mission
      </button>
    );
  }
  return (
    <div className="m-1.5 mt-0">
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
    </div>
  );
}
