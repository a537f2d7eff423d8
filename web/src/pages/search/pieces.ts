export type Piece = { text: string; isMarked: boolean };

const ENTITIES: Record<string, string> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&#x27;": "'",
};
const ENTITY = /&(?:amp|lt|gt|quot|#x27);/g;

/**
 * Reads a highlight of the server into pieces of plain text. It is never put on the page as HTML: whatever
 * else it might hold would be shown as it is written.
 */
export function pieces(highlight: string): Piece[] {
  return highlight
    .split(/<mark>(.*?)<\/mark>/s)
    .map((text, index) => ({ text: plain(text), isMarked: index % 2 === 1 }))
    .filter(({ text }) => text !== "");
}

/** Returns a highlight as plain text, without its marks. */
export const plainOf = (highlight: string) =>
  pieces(highlight)
    .map(({ text }) => text)
    .join("");

const plain = (text: string) => text.replace(ENTITY, (entity) => ENTITIES[entity] ?? entity);
