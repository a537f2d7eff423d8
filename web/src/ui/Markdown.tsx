import { Fragment, type ReactNode, useMemo } from "react";
import { type Block, type Inline, type Item, parseMarkdown } from "@/lib/markdown";
import { cn } from "@/lib/text";

/**
 * Markdown as elements. Nobody's text becomes HTML: it is read into a tree of what we know, and drawn.
 * `names` are of people who are mentioned.
 */
export function Markdown({
  text,
  names = NOBODY,
  className,
}: {
  text: string;
  names?: readonly string[];
  className?: string;
}) {
  const blocks = useMemo(() => parseMarkdown(text, names), [text, names]);
  return (
    <div className={cn("flex min-w-0 flex-col gap-2.5 wrap-anywhere", className)}>
      {blocks.map(block)}
    </div>
  );
}

const NOBODY: readonly string[] = [];
const HEADINGS = ["text-lg font-semibold", "text-base font-semibold", "font-medium text-ink-2"];

function block(of: Block, key: number): ReactNode {
  switch (of.kind) {
    case "paragraph":
      return <p key={key}>{inlines(of.children)}</p>;
    case "heading": {
      // The page has its own headings; those of a text are below them.
      const Tag = `h${Math.min(of.level + 2, 6)}` as "h3";
      return (
        <Tag key={key} className={cn("mt-1", HEADINGS[of.level - 1] ?? HEADINGS[2])}>
          {inlines(of.children)}
        </Tag>
      );
    }
    case "code":
      return (
        <pre
          key={key}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
          tabIndex={0}
          className="overflow-x-auto rounded-md border border-line bg-canvas p-3 font-mono text-sm"
        >
          <code>{of.text}</code>
        </pre>
      );
    case "quote":
      return (
        <blockquote
          key={key}
          className="flex flex-col gap-2.5 border-l-2 border-line-strong pl-3 text-ink-2"
        >
          {of.children.map(block)}
        </blockquote>
      );
    case "list":
      return of.ordered ? (
        <ol key={key} start={of.start} className="flex list-decimal flex-col gap-1 pl-5">
          {of.items.map(item)}
        </ol>
      ) : (
        <ul key={key} className="flex list-disc flex-col gap-1 pl-5 marker:text-ink-3">
          {of.items.map(item)}
        </ul>
      );
    case "table":
      return (
        <div key={key} className="overflow-x-auto">
          <table className="border-collapse text-left">
            <thead>
              <tr>{of.head.map((cell, at) => cellOf("th", cell, at))}</tr>
            </thead>
            <tbody>
              {of.rows.map((row, at) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: a text's parts have no other name
                <tr key={at}>{row.map((cell, column) => cellOf("td", cell, column))}</tr>
              ))}
            </tbody>
          </table>
        </div>
      );
    case "rule":
      return <hr key={key} className="border-line" />;
  }
}

function cellOf(Tag: "th" | "td", cell: Inline[], key: number): ReactNode {
  return (
    <Tag key={key} className="border border-line px-2 py-1 font-[inherit]">
      {Tag === "th" ? <strong className="font-medium">{inlines(cell)}</strong> : inlines(cell)}
    </Tag>
  );
}

function item({ done, children }: Item, key: number): ReactNode {
  if (done === null) return <li key={key}>{children.map(inItem)}</li>;
  return (
    <li key={key} className="-ml-5 flex list-none items-start gap-2">
      <input
        type="checkbox"
        checked={done}
        disabled
        aria-label={done ? "Done" : "To do"}
        className="mt-1 accent-accent"
      />
      <div className={cn("min-w-0", done && "text-ink-3")}>{children.map(inItem)}</div>
    </li>
  );
}

/** A list's short items stand close: their text is no paragraph of its own. */
function inItem(of: Block, key: number): ReactNode {
  return of.kind === "paragraph" ? (
    <Fragment key={key}>{inlines(of.children)}</Fragment>
  ) : (
    <div key={key} className="mt-1">
      {block(of, key)}
    </div>
  );
}

function inlines(of: Inline[]): ReactNode[] {
  return of.map(inline);
}

function inline(of: Inline, key: number): ReactNode {
  switch (of.kind) {
    case "text":
      return <Fragment key={key}>{of.text}</Fragment>;
    case "break":
      return <br key={key} />;
    case "code":
      return (
        <code key={key} className="rounded-sm bg-pressed px-1 font-mono text-sm">
          {of.text}
        </code>
      );
    case "strong":
      return (
        <strong key={key} className="font-semibold">
          {inlines(of.children)}
        </strong>
      );
    case "em":
      return <em key={key}>{inlines(of.children)}</em>;
    case "strike":
      return <s key={key}>{inlines(of.children)}</s>;
    case "mention":
      return (
        <span key={key} className="rounded-sm bg-accent-soft px-1 font-medium text-accent-strong">
          @{of.name}
        </span>
      );
    case "link":
      return (
        <a
          key={key}
          href={of.href}
          target={of.href.startsWith("http") ? "_blank" : undefined}
          rel="noreferrer nofollow"
          className="text-accent underline underline-offset-2"
        >
          {inlines(of.children)}
        </a>
      );
  }
}
