/** A mission that somebody opened lately. */
export type Recent = { id: string; title: string };

const STORED = "mc-recent";
const RECENT_MAX = 8;

/** Returns what was opened lately on this device, the newest first. */
export function recent(): Recent[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(STORED) ?? "[]");
    return Array.isArray(stored) ? stored.filter(isRecent) : [];
  } catch {
    return [];
  }
}

/** Keeps that a mission was opened. */
export function remember({ id, title }: Recent): void {
  const others = recent().filter((one) => one.id !== id);
  localStorage.setItem(STORED, JSON.stringify([{ id, title }, ...others].slice(0, RECENT_MAX)));
}

/** Forgets everything: somebody else may sign in on this device. */
export function forgetRecent(): void {
  localStorage.removeItem(STORED);
}

function isRecent(value: unknown): value is Recent {
  const { id, title } = (value ?? {}) as Partial<Recent>;
  return typeof id === "string" && typeof title === "string";
}
