import { describe, expect, it } from "vitest";
import { parseInline, parseMarkdown, plainText, safeHref } from "./markdown";

describe("markdown", () => {
  it("reads headings, lists, tasks, code and quotes", () => {
    const text = "# Plan\n\nTwo steps:\n- [x] one\n- [ ] two\n\n```py\nx = 1\n```\n> said\n\n---";
    expect(parseMarkdown(text).map(({ kind }) => kind)).toEqual([
      "heading",
      "paragraph",
      "list",
      "code",
      "quote",
      "rule",
    ]);
    expect(parseMarkdown(text)[2]).toMatchObject({ items: [{ done: true }, { done: false }] });
  });

  it("nests lists, and counts from where a list begins", () => {
    expect(parseMarkdown("3. a\n   - b\n4. c")[0]).toMatchObject({
      ordered: true,
      start: 3,
      items: [{ children: [{ kind: "paragraph" }, { kind: "list" }] }, {}],
    });
  });

  it("reads a table", () => {
    expect(parseMarkdown("| a | b |\n|---|---|\n| 1 | 2 |")[0]).toMatchObject({
      kind: "table",
      head: [[{ text: "a" }], [{ text: "b" }]],
      rows: [[[{ text: "1" }], [{ text: "2" }]]],
    });
  });

  it("marks what is strong, and leaves names with underscores alone", () => {
    expect(parseInline("**a** and _b_ in snake_case_name").map(({ kind }) => kind)).toEqual([
      "strong",
      "text",
      "em",
      "text",
    ]);
  });

  it("knows no HTML and no script", () => {
    expect(parseInline("<img src=x onerror=alert(1)>")).toEqual([
      { kind: "text", text: "<img src=x onerror=alert(1)>" },
    ]);
    expect(parseInline("[x](javascript:alert(1))").every(({ kind }) => kind === "text")).toBe(true);
    expect(safeHref("//elsewhere.example")).toBeNull();
    expect(safeHref("/\\elsewhere.example")).toBeNull();
    expect(safeHref("data:text/html,x")).toBeNull();
    expect(safeHref("/missions/1")).toBe("/missions/1");
  });

  it("finds links without marks, and mentions by whole names", () => {
    expect(parseInline("see https://example.org/a.")).toMatchObject([
      { kind: "text" },
      { kind: "link", href: "https://example.org/a" },
      { kind: "text", text: "." },
    ]);
    expect(parseInline("@Ines Falk, @Inessa", ["Ines", "Ines Falk"])).toEqual([
      { kind: "mention", name: "Ines Falk" },
      { kind: "text", text: ", @Inessa" },
    ]);
  });

  it("keeps in an address the parentheses that it opens", () => {
    const rust = "https://en.wikipedia.org/wiki/Rust_(video_game)";
    const links = (text: string) =>
      parseInline(text).flatMap((one) => (one.kind === "link" ? [one.href] : []));
    expect(parseInline(`[wiki](${rust})`)).toEqual([
      { kind: "link", href: rust, children: [{ kind: "text", text: "wiki" }] },
    ]);
    expect(parseInline(`[wiki]( ${rust} "Rust (game)" ), and`)).toMatchObject([
      { kind: "link", href: rust },
      { kind: "text", text: ", and" },
    ]);
    for (const text of [rust, `(see ${rust})`, `(${rust}).`, `${rust}, and`, `[a](x) ${rust}!)`])
      expect(links(text)).toEqual([rust]);
    expect(links("https://example.org/a_((b)_c)?d=(e)")).toEqual([
      "https://example.org/a_((b)_c)?d=(e)",
    ]);
    expect(links("(https://example.org/a), https://example.org/b(c")).toEqual([
      "https://example.org/a",
      "https://example.org/b(c",
    ]);
    expect(links("https://) https://. [x]()")).toEqual([]);
  });

  it("says without marks what a text says, on one line", () => {
    expect(plainText("**All** of [them](https://example.org/a), ~~not~~ `now`\n_please_")).toBe(
      "All of them, not now please",
    );
    expect(plainText("# Plan\n\n- [x] one\n- two\n\n> said\n\n---\n\n```py\nx = 1\n```")).toBe(
      "Plan one two said x = 1",
    );
    expect(plainText("| a | b |\n|---|---|\n| 1 | 2 |")).toBe("a b 1 2");
  });

  it("leaves what is no Markdown as it was written", () => {
    for (const text of [
      "2 * 3 * 4",
      "snake_case_name",
      "@Ines Falk: **half",
      "[x](javascript:y)",
    ]) {
      expect(plainText(text)).toBe(text);
    }
    expect(plainText("")).toBe("");
  });

  it("ends, whatever it is given", () => {
    for (const text of ["> ".repeat(500), "- ".repeat(500), "**".repeat(3000), "[".repeat(3000)]) {
      expect(parseMarkdown(text).length).toBeGreaterThan(0);
    }
  });
});
