import type { Mission } from "@/models/types";

/** What somebody writes, and for a description what it was when they began. */
export type Draft = { text: string; base?: Mission };

const drafts = new Map<string, Draft>();

/** Returns what was being written when they looked elsewhere: it is kept in this tab until it is sent, or given up. */
export function draftOf(name: string): Draft | undefined {
  return drafts.get(name);
}

/** Keeps what is being written; nothing is no draft. */
export function keepDraft(name: string, draft: Draft): void {
  if (draft.text.trim() === "" && draft.base === undefined) drafts.delete(name);
  else drafts.set(name, draft);
}

export function dropDraft(name: string): void {
  drafts.delete(name);
}

/** Forgets everything: somebody else may sign in here. */
export function forgetDrafts(): void {
  drafts.clear();
}
