import type { Content, Mission } from "./types";

/** What is written about a mission, and can be edited here. */
export type Edit = Partial<Content>;

export type Conflict = { field: keyof Content; theirs: unknown; mine: unknown };

/**
 * Returns how an edit that began at `base` goes onto what others made of it meanwhile: `edit` can be sent at
 * once, `conflicts` somebody has to decide. Lists are merged by what was put in and taken out.
 */
export function merge(
  base: Mission,
  mine: Edit,
  theirs: Mission,
): { edit: Edit; conflicts: Conflict[] } {
  const edit: Record<string, unknown> = {};
  const conflicts: Conflict[] = [];
  for (const [field, wanted] of Object.entries(mine) as [keyof Content, unknown][]) {
    const [before, now] = [base[field], theirs[field]];
    if (same(now, wanted)) continue;
    if (same(now, before)) edit[field] = wanted;
    else if (Array.isArray(wanted))
      edit[field] = mergedList(before as string[], wanted, now as string[]);
    else conflicts.push({ field, theirs: now, mine: wanted });
  }
  return { edit: edit as Edit, conflicts };
}

function mergedList(before: string[], mine: string[], theirs: string[]): string[] {
  const added = mine.filter((word) => !before.includes(word) && !theirs.includes(word));
  const kept = theirs.filter((word) => mine.includes(word) || !before.includes(word));
  return [...kept, ...added];
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
