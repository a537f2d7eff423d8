/** Something that the palette offers: to do, to go to, or to open. */
export type Command = {
  id: string;
  label: string;
  /** What it stands under. */
  group: string;
  /** Other words that it is found by. */
  words?: string;
  /** The keys that do the same. */
  keys?: string;
  run: () => void;
};

const WORD_START = 3;
const LABEL_START = 5;

/**
 * Returns the commands that have every word of the text at the beginning of one of theirs, or else inside; the
 * best first. All of them, as they are, where there is no text.
 */
export function matching(commands: readonly Command[], text: string): Command[] {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return [...commands];
  return commands
    .map((command) => ({ command, score: scoreOf(command, wanted) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .map(({ command }) => command);
}

function scoreOf({ label, group, words = "" }: Command, wanted: string[]): number {
  const own = label.toLowerCase();
  const all = `${own} ${group} ${words}`.toLowerCase();
  let score = 0;
  for (const word of wanted) {
    if (own.startsWith(word)) score += LABEL_START;
    else if (all.split(/[\s-]+/).some((one) => one.startsWith(word))) score += WORD_START;
    else if (own.includes(word)) score += 1;
    else return 0;
  }
  return score;
}

/** Keeps one of those that are offered twice, by label: the last, as with shortcuts. */
export function distinct(commands: readonly Command[]): Command[] {
  return [...new Map(commands.map((command) => [command.label, command])).values()];
}
