/** Returns a part of an address as text: one like 2024 is read as a number. */
export function word(raw: unknown): string | undefined {
  if (typeof raw === "number") return String(raw);
  return typeof raw === "string" ? raw : undefined;
}

/** Returns the words of a part of an address; one may stand alone. */
export function words(raw: unknown): string[] {
  const all: unknown[] = Array.isArray(raw) ? raw : [raw];
  return all.map(word).filter((one) => one !== undefined);
}
