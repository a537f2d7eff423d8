import type { Me, Mission } from "@/models/types";

/** What somebody writes, and for a description what it was when they began. */
export type Draft = { text: string; base?: Mission };
type Kept = Draft & { at: number };

const PREFIX = "mc-draft ";
const DRAFTS_MAX = 16;
/** Of one, as it is stored: all of them take less than half of what a browser gives. */
const DRAFT_CHARS_MAX = 128_000;

/** Returns the name of what somebody writes: who else signs in here has other names. */
export function draftName(me: Me, missionId: string, kind: string): string {
  return [me.workspace.id, me.id, missionId, kind].join(" ");
}

/**
 * Returns what was being written when they looked elsewhere, or loaded the page again: it is kept in this tab
 * until it is sent, or given up. Where nobody is known to be signed in, there is no name and no draft.
 */
export function draftOf(name: string | undefined): Draft | undefined {
  return name === undefined ? undefined : read(PREFIX + name);
}

/** Keeps what is being written; nothing is no draft. Where there are too many, the one longest untouched goes. */
export function keepDraft(name: string | undefined, draft: Draft): void {
  if (name === undefined) return;
  const key = PREFIX + name;
  const stored = JSON.stringify({ ...draft, at: Date.now() } satisfies Kept);
  const isNothing = draft.text.trim() === "" && draft.base === undefined;
  if (isNothing || stored.length > DRAFT_CHARS_MAX) {
    sessionStorage.removeItem(key);
    return;
  }
  const others = keys().filter((other) => other !== key);
  if (others.length >= DRAFTS_MAX) sessionStorage.removeItem(oldest(others));
  sessionStorage.setItem(key, stored);
}

export function dropDraft(name: string | undefined): void {
  if (name !== undefined) sessionStorage.removeItem(PREFIX + name);
}

/** Forgets everything: somebody else may sign in here. */
export function forgetDrafts(): void {
  for (const key of keys()) sessionStorage.removeItem(key);
}

const keys = () => Object.keys(sessionStorage).filter((key) => key.startsWith(PREFIX));

function oldest(of: string[]): string {
  const age = (key: string) => read(key)?.at ?? 0;
  return of.reduce((one, other) => (age(other) < age(one) ? other : one));
}

function read(key: string): Kept | undefined {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(key) ?? "null");
    return isKept(kept) ? kept : undefined;
  } catch {
    return undefined;
  }
}

function isKept(value: unknown): value is Kept {
  const { text, at, base } = (value ?? {}) as Partial<Kept>;
  const isBase = base === undefined || typeof base?.description === "string";
  return typeof text === "string" && typeof at === "number" && isBase;
}
