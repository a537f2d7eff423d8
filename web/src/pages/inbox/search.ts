import { INBOX_KINDS, type InboxKind } from "@/models/types";

/** What of the inbox is in its address: which kind, the chosen item, the mission beside it. */
export type InboxSearch = { kind?: InboxKind; item?: string; mission?: string };

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

export function inboxSearch(raw: Record<string, unknown>): InboxSearch {
  const found: InboxSearch = {};
  const kind = INBOX_KINDS.find((known) => known === raw.kind);
  if (kind !== undefined) found.kind = kind;
  if (typeof raw.item === "string") found.item = raw.item;
  if (typeof raw.mission === "string" && UUID.test(raw.mission)) found.mission = raw.mission;
  return found;
}
