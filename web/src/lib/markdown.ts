/** Text within a line. Nothing of it is HTML: what is written in angle brackets is shown as it is. */
export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "strong" | "em" | "strike"; children: Inline[] }
  | { kind: "link"; href: string; children: Inline[] }
  | { kind: "mention"; name: string }
  | { kind: "break" };

export type Block =
  | { kind: "paragraph"; children: Inline[] }
  | { kind: "heading"; level: number; children: Inline[] }
  | { kind: "code"; language: string; text: string }
  | { kind: "quote"; children: Block[] }
  | { kind: "list"; ordered: boolean; start: number; items: Item[] }
  | { kind: "table"; head: Inline[][]; rows: Inline[][][] }
  | { kind: "rule" };

export type Item = { done: boolean | null; children: Block[] };

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const BULLET = /^( {0,3})([-*+]|\d{1,9}[.)])\s+/;
const TASK = /^\[([ xX])\]\s+/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const DEPTH_MAX = 8;

/** Reads the Markdown that people write: CommonMark's common part, tables, tasks and bare links. */
export function parseMarkdown(text: string, names: readonly string[] = []): Block[] {
  return blocks(text.replaceAll("\r\n", "\n").split("\n"), names, 0);
}

function blocks(lines: string[], names: readonly string[], depth: number): Block[] {
  const found: Block[] = [];
  let paragraph: string[] = [];
  const flush = () => {
    if (paragraph.length > 0)
      found.push({ kind: "paragraph", children: parseInline(paragraph.join("\n"), names) });
    paragraph = [];
  };
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] ?? "";
    const read = depth < DEPTH_MAX ? special(lines, at, names, depth, paragraph.length > 0) : null;
    if (read !== null) {
      flush();
      found.push(read.block);
      at = read.next;
      continue;
    }
    if (line.trim() === "") flush();
    else paragraph.push(line.trim() + (line.endsWith("  ") ? "  " : ""));
    at += 1;
  }
  flush();
  return found;
}

type Read = { block: Block; next: number } | null;

/** Reads the block that begins at a line, if it is more than a paragraph. */
function special(
  lines: string[],
  at: number,
  names: readonly string[],
  depth: number,
  inParagraph: boolean,
): Read {
  const line = lines[at] ?? "";
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence[1] ?? "```", fence[2] ?? "");
  const heading = HEADING.exec(line);
  if (heading) {
    const children = parseInline(heading[2] ?? "", names);
    return { block: { kind: "heading", level: heading[1]?.length ?? 1, children }, next: at + 1 };
  }
  if (RULE.test(line)) return { block: { kind: "rule" }, next: at + 1 };
  if (QUOTE.test(line)) return quote(lines, at, names, depth);
  const bullet = BULLET.exec(line);
  // A number in running text is not a list, unless it is a one.
  if (bullet && !(inParagraph && /^\d/.test(bullet[2] ?? "") && !/^1[.)]/.test(bullet[2] ?? "")))
    return list(lines, at, names, depth);
  if (line.includes("|") && DIVIDER.test(lines[at + 1] ?? "")) return table(lines, at, names);
  return null;
}

function fenced(lines: string[], at: number, fence: string, language: string): Read {
  const mark = fence[0] ?? "`";
  const isEnd = (line: string) => {
    const end = line.trim();
    return end.length >= fence.length && [...end].every((char) => char === mark);
  };
  let end = at + 1;
  while (end < lines.length && !isEnd(lines[end] ?? "")) end += 1;
  const text = lines.slice(at + 1, end).join("\n");
  return { block: { kind: "code", language, text }, next: end + 1 };
}

function quote(lines: string[], at: number, names: readonly string[], depth: number): Read {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end] ?? "")) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return { block: { kind: "quote", children: blocks(inner, names, depth + 1) }, next: end };
}

function list(lines: string[], at: number, names: readonly string[], depth: number): Read {
  const first = BULLET.exec(lines[at] ?? "")?.[2] ?? "-";
  const ordered = /\d/.test(first);
  const items: Item[] = [];
  let next = at;
  while (next < lines.length) {
    const line = lines[next] ?? "";
    const bullet = BULLET.exec(line);
    if (bullet === null || /\d/.test(bullet[2] ?? "") !== ordered || RULE.test(line)) break;
    const indent = bullet[0].length;
    const own = [line.slice(indent)];
    next += 1;
    while (next < lines.length && belongs(lines, next)) {
      own.push((lines[next] ?? "").replace(new RegExp(`^ {1,${indent}}`), ""));
      next += 1;
    }
    items.push(item(own, names, depth));
  }
  const block: Block = { kind: "list", ordered, start: Number.parseInt(first, 10) || 1, items };
  return { block, next };
}

/** Whether a line goes on with the item before it: it is indented, or blank with an indented one behind. */
function belongs(lines: string[], at: number): boolean {
  const line = lines[at] ?? "";
  if (line.trim() === "") return /^ {2,}\S/.test(lines[at + 1] ?? "");
  return /^ {2,}/.test(line);
}

function item(lines: string[], names: readonly string[], depth: number): Item {
  const task = TASK.exec(lines[0] ?? "");
  if (task === null) return { done: null, children: blocks(lines, names, depth + 1) };
  const rest = [(lines[0] ?? "").slice(task[0].length), ...lines.slice(1)];
  return { done: task[1] !== " ", children: blocks(rest, names, depth + 1) };
}

function table(lines: string[], at: number, names: readonly string[]): Read {
  const cells = (line: string) =>
    line
      .trim()
      .replace(/^\||\|$/g, "")
      .split("|")
      .map((cell) => parseInline(cell.trim(), names));
  let end = at + 2;
  while (end < lines.length && (lines[end] ?? "").includes("|")) end += 1;
  const rows = lines.slice(at + 2, end).map(cells);
  return { block: { kind: "table", head: cells(lines[at] ?? ""), rows }, next: end };
}

const BARE = /^https?:\/\//;
const BARE_END = /[\s<>"'\]]/;
/** What stands behind an address rather than in it, where a sentence ends with one. */
const AFTER_BARE = ".,;:!?";
const LINK_TEXT = /^\[((?:[^\][]|\[[^\]]*\])+)\]\(\s*/;
const LINK_END = /^(?:\s+"[^"]*")?\s*\)/;
const ANGLED = /^<(https?:\/\/[^\s<>]+)>/;
const MARKS: [RegExp, "strong" | "em" | "strike"][] = [
  [/^\*\*(?=\S)([\s\S]*?\S)\*\*/, "strong"],
  [/^__(?=\S)([\s\S]*?\S)__(?!\w)/, "strong"],
  [/^~~(?=\S)([\s\S]*?\S)~~/, "strike"],
  [/^\*(?=[^\s*])([\s\S]*?[^\s*])\*(?!\*)/, "em"],
  [/^_(?=[^\s_])([\s\S]*?[^\s_])_(?!\w)/, "em"],
];

/** Reads what is within a paragraph. `names` are those of people who are mentioned. */
export function parseInline(text: string, names: readonly string[] = []): Inline[] {
  const longest = [...names].sort((a, b) => b.length - a.length);
  const found: Inline[] = [];
  let plain = "";
  const push = (inline: Inline) => {
    if (plain !== "") found.push({ kind: "text", text: plain });
    plain = "";
    found.push(inline);
  };
  for (let at = 0; at < text.length; ) {
    const read = inlineAt(text, at, longest);
    if (read === null) {
      plain += text[at];
      at += 1;
    } else {
      if (typeof read.inline === "string") plain += read.inline;
      else push(read.inline);
      at += read.length;
    }
  }
  if (plain !== "") found.push({ kind: "text", text: plain });
  return found;
}

type Found = { inline: Inline | string; length: number } | null;

function inlineAt(text: string, at: number, names: readonly string[]): Found {
  const rest = text.slice(at);
  const before = text[at - 1] ?? " ";
  switch (text[at]) {
    case "\\":
      return /^\\[!-/:-@[-`{-~]/.test(rest) ? { inline: rest[1] ?? "", length: 2 } : null;
    case "\n":
      return { inline: { kind: "break" }, length: 1 };
    case "`":
      return code(rest);
    case "[":
      return link(rest, names);
    // An image is a link to it: nobody's text makes the reader's browser ask another server for something.
    case "!":
      return rest[1] === "[" ? image(rest, names) : null;
    case "<": {
      const angled = ANGLED.exec(rest)?.[1];
      return angled === undefined ? null : bare(angled, angled.length + 2);
    }
    case "h": {
      const url = /\w/.test(before) ? undefined : bareUrl(rest);
      return url === undefined ? null : bare(url, url.length);
    }
    case "@": {
      const name = names.find((known) => startsWithName(rest.slice(1), known));
      if (name === undefined || /\w/.test(before)) return null;
      return { inline: { kind: "mention", name }, length: name.length + 1 };
    }
    case "*":
    case "_":
    case "~":
      return text[at] === "_" && /\w/.test(before) ? null : marked(rest, names);
    default:
      return null;
  }
}

function startsWithName(text: string, name: string): boolean {
  return (
    text.slice(0, name.length).toLowerCase() === name.toLowerCase() &&
    !/\w/.test(text[name.length] ?? "")
  );
}

function code(rest: string): Found {
  const ticks = /^`+/.exec(rest)?.[0] ?? "`";
  const end = rest.indexOf(ticks, ticks.length);
  if (end < 0) return { inline: ticks, length: ticks.length };
  const text = rest.slice(ticks.length, end).trim();
  return { inline: { kind: "code", text }, length: end + ticks.length };
}

function link(rest: string, names: readonly string[]): Found {
  const text = LINK_TEXT.exec(rest);
  if (text === null) return null;
  const at = text[0].length;
  const until = balanced(rest, at, /\s/);
  const href = safeHref(rest.slice(at, until));
  const end = LINK_END.exec(rest.slice(until));
  if (end === null || href === null) return null;
  const children = parseInline(text[1] ?? "", names);
  return { inline: { kind: "link", href, children }, length: until + end[0].length };
}

function image(rest: string, names: readonly string[]): Found {
  const found = link(rest.slice(1), names);
  return found === null ? null : { ...found, length: found.length + 1 };
}

/** Returns the address that a text begins with. */
function bareUrl(text: string): string | undefined {
  const scheme = BARE.exec(text)?.[0].length;
  if (scheme === undefined) return undefined;
  let end = balanced(text, scheme, BARE_END);
  while (AFTER_BARE.includes(text[end - 1] ?? " ")) end -= 1;
  return end > scheme ? text.slice(0, end) : undefined;
}

/** Returns where an address ends: at `stop`, or at a parenthesis that was opened before it, and not in it. */
function balanced(text: string, from: number, stop: RegExp): number {
  let depth = 0;
  let at = from;
  for (; at < text.length && !stop.test(text[at] ?? ""); at += 1) {
    if (text[at] === "(") depth += 1;
    else if (text[at] === ")") depth -= 1;
    if (depth < 0) break;
  }
  return at;
}

function bare(url: string, length: number): Found {
  const children: Inline[] = [{ kind: "text", text: url }];
  return { inline: { kind: "link", href: url, children }, length };
}

function marked(rest: string, names: readonly string[]): Found {
  for (const [pattern, kind] of MARKS) {
    const match = pattern.exec(rest);
    if (match !== null)
      return {
        inline: { kind, children: parseInline(match[1] ?? "", names) },
        length: match[0].length,
      };
  }
  return null;
}

/** Returns what a text says without its marks, on one line: for where there is no room for more. */
export function plainText(text: string): string {
  return parseMarkdown(text).map(blockText).join(" ").replace(/\s+/g, " ").trim();
}

function blockText(of: Block): string {
  switch (of.kind) {
    case "paragraph":
    case "heading":
      return inlineText(of.children);
    case "code":
      return of.text;
    case "quote":
      return of.children.map(blockText).join(" ");
    case "list":
      return of.items.flatMap(({ children }) => children.map(blockText)).join(" ");
    case "table":
      return [of.head, ...of.rows].flatMap((cells) => cells.map(inlineText)).join(" ");
    case "rule":
      return "";
  }
}

function inlineText(inlines: Inline[]): string {
  return inlines.map(oneText).join("");
}

function oneText(of: Inline): string {
  if (of.kind === "text" || of.kind === "code") return of.text;
  if (of.kind === "mention") return `@${of.name}`;
  return of.kind === "break" ? " " : inlineText(of.children);
}

/** Returns where a link may lead, or null: the web, mail, and our own pages; never a script. */
export function safeHref(href: string): string | null {
  if (/^(https?:\/\/|mailto:)/i.test(href)) return href;
  return /^(\/(?![/\\])|#)/.test(href) ? href : null;
}
