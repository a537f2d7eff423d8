/** What is being typed behind an @, and where it begins. */
export type Mentioning = { at: number; text: string };

const NAME_CHARS_MAX = 40;

/** Returns the mention that a caret stands in, if it stands in one. */
export function mentioningAt(text: string, caret: number): Mentioning | null {
  const before = text.slice(0, caret);
  const at = before.lastIndexOf("@");
  if (at < 0 || /\w/.test(before[at - 1] ?? " ")) return null;
  const typed = before.slice(at + 1);
  if (typed.length > NAME_CHARS_MAX || /[\n@]|\s{2}|\s\S+\s/.test(typed)) return null;
  return { at, text: typed };
}

type Named = { id: string; name: string };

/** The names that a person may be called by behind an @: the whole, and the first. */
export function namesOf(name: string): string[] {
  const first = name.split(/\s+/)[0] ?? name;
  return first === name ? [name] : [name, first];
}

/**
 * Returns the ids of those whom a text mentions by name. A first name alone is enough where only one has it.
 */
export function mentionsIn(text: string, everybody: readonly Named[]): string[] {
  const found = new Set<string>();
  const owners = new Map<string, string[]>();
  for (const { id, name } of everybody) {
    for (const called of namesOf(name)) {
      const key = called.toLowerCase();
      owners.set(key, [...(owners.get(key) ?? []), id]);
    }
  }
  const called = [...owners.keys()].sort((a, b) => b.length - a.length);
  const lower = text.toLowerCase();
  for (let at = lower.indexOf("@"); at >= 0; at = lower.indexOf("@", at + 1)) {
    if (/\w/.test(lower[at - 1] ?? " ")) continue;
    const name = called.find(
      (known) =>
        lower.startsWith(known, at + 1) &&
        !/[\p{L}\p{N}_]/u.test(lower[at + 1 + known.length] ?? " "),
    );
    const ids = name === undefined ? [] : (owners.get(name) ?? []);
    const [only] = ids;
    if (ids.length === 1 && only !== undefined) found.add(only);
  }
  return [...found];
}
