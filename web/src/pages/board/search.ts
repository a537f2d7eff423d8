import { words } from "@/lib/address";
import { PRIORITIES, type Priority } from "@/models/types";
import { type MomentSearch, momentSearch } from "@/shell/moment";

/** What of the board's view is in its address. A part that makes no sense is left out. */
export type BoardSearch = MomentSearch & {
  /** The mission in the side panel. */
  mission?: string;
  /** Words that a title must have. */
  q?: string;
  priority?: Priority[];
  label?: string[];
  assignee?: string[];
  group?: "assignee" | "priority";
};

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

export function boardSearch(raw: Record<string, unknown>): BoardSearch {
  const found: BoardSearch = momentSearch(raw);
  if (typeof raw.mission === "string" && UUID.test(raw.mission)) found.mission = raw.mission;
  const [q = ""] = words(raw.q);
  if (q !== "") found.q = q;
  if (raw.group === "assignee" || raw.group === "priority") found.group = raw.group;
  const priority = words(raw.priority).filter((word): word is Priority =>
    (PRIORITIES as readonly string[]).includes(word),
  );
  if (priority.length > 0) found.priority = priority;
  const label = words(raw.label);
  if (label.length > 0) found.label = label;
  const assignee = words(raw.assignee);
  if (assignee.length > 0) found.assignee = assignee;
  return found;
}
