import { word, words } from "@/lib/address";
import { PRIORITIES, type Priority, STAGES, type Stage } from "@/models/types";

export const KINDS = ["mission", "comment", "activity"] as const;
export type Kind = (typeof KINDS)[number];

/** What is looked for, as it is in the address. A part that makes no sense is left out. */
export type SearchAddress = {
  q?: string;
  type?: Kind[];
  priority?: Priority[];
  stage?: Stage[];
  label?: string;
  board?: string;
  agent?: string;
};

/** The parts that narrow a search down. */
export const FILTERS = ["type", "priority", "stage", "label", "board", "agent"] as const;
export type Filter = (typeof FILTERS)[number];

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const QUERY_CHARS_MAX = 500;
const LABEL_CHARS_MAX = 60;

export function searchAddress(raw: Record<string, unknown>): SearchAddress {
  const found: SearchAddress = {};
  const q = word(raw.q) ?? "";
  if (q !== "") found.q = q.slice(0, QUERY_CHARS_MAX);
  const type = known(KINDS, raw.type);
  if (type.length > 0) found.type = type;
  const priority = known(PRIORITIES, raw.priority);
  if (priority.length > 0) found.priority = priority;
  const stage = known(STAGES, raw.stage);
  if (stage.length > 0) found.stage = stage;
  const label = word(raw.label) ?? "";
  if (label !== "") found.label = label.slice(0, LABEL_CHARS_MAX);
  if (typeof raw.board === "string" && UUID.test(raw.board)) found.board = raw.board;
  if (typeof raw.agent === "string" && UUID.test(raw.agent)) found.agent = raw.agent;
  return found;
}

/** Returns the address with a value of a facet taken in, or out if it was in. */
export function toggled(address: SearchAddress, filter: Filter, value: string): SearchAddress {
  const { [filter]: now, ...rest } = address;
  if (!Array.isArray(now) && filter !== "type" && filter !== "priority" && filter !== "stage") {
    return now === value ? rest : { ...rest, [filter]: value };
  }
  const values = (now ?? []) as string[];
  const next = values.includes(value) ? values.filter((one) => one !== value) : [...values, value];
  return searchAddress({ ...rest, [filter]: next });
}

/** Tells whether a value of a facet is chosen. */
export function isChosen(address: SearchAddress, filter: Filter, value: string): boolean {
  const now = address[filter];
  return Array.isArray(now) ? (now as string[]).includes(value) : now === value;
}

/** Returns the filters that are in force. */
export function inForce(address: SearchAddress): Filter[] {
  return FILTERS.filter((filter) => address[filter] !== undefined);
}

function known<Value extends string>(values: readonly Value[], raw: unknown): Value[] {
  const given = words(raw);
  return values.filter((value) => given.includes(value));
}
