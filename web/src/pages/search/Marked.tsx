import { pieces } from "./pieces";

/** A text with what was looked for marked in it. */
export function Marked({ highlight }: { highlight: string }) {
  return pieces(highlight).map(({ text, isMarked }, index) =>
    isMarked ? (
      // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one text have no other name
      <mark key={index} className="rounded-sm bg-accent-soft text-accent-strong">
        {text}
      </mark>
    ) : (
      text
    ),
  );
}
