import { type KeyboardEvent, type Ref, useId, useMemo, useRef, useState } from "react";
import { agentsModel, membersModel } from "@/api/queries";
import { draftOf, dropDraft, keepDraft } from "@/lib/drafts";
import { isComposing } from "@/lib/keys";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import { toast } from "@/ui/announce";
import { Button } from "@/ui/Button";
import { useLeave } from "@/ui/focus";
import { Avatar } from "@/ui/marks";
import { useMission } from "./context";
import { type Mentioning, mentioningAt, mentionsIn } from "./mentions";

const TEXT_CHARS_MAX = 20_000;
const SHOWN_MAX = 6;

/**
 * A field for a comment: Markdown, @ for people and agents, Ctrl-Enter to send. What is sent leaves the field at
 * once, and comes back where it is refused; what is written meanwhile stays. What is edited stays as well: it is
 * one text, and the field goes when all of it is saved.
 */
export function Composer({
  label,
  action,
  draft,
  initial = "",
  autoFocus = false,
  onSend,
  onSent,
  onCancel,
  ref,
}: {
  label: string;
  action: string;
  /** The name by which what is written is kept while somebody looks elsewhere. */
  draft: string | undefined;
  initial?: string;
  autoFocus?: boolean;
  onSend: (text: string, mentions: string[]) => Promise<boolean>;
  /** All that was written is sent. */
  onSent?: () => void;
  onCancel?: () => void;
  ref?: Ref<HTMLTextAreaElement>;
}) {
  const { nameOf } = useMission();
  const id = useId();
  const field = useRef<HTMLTextAreaElement | null>(null);
  const [text, setTyped] = useState(() => draftOf(draft)?.text ?? initial);
  // For an answer: what the field has when it comes.
  const latest = useRef(text);
  // Until it is known to have arrived, the draft has it: the page may go before the answer comes.
  const onItsWay = useRef("");
  const setText = (next: string) => {
    latest.current = next;
    setTyped(next);
    const kept = together(onItsWay.current, next);
    if (kept === initial) dropDraft(draft);
    else keepDraft(draft, { text: kept });
  };
  const [isSending, setIsSending] = useState(false);
  const [mentioning, setMentioning] = useState<Mentioning | null>(null);
  const [at, setAt] = useState(0);
  const elsewhere = useLeave();
  const everybody = useEverybody();
  const wanted = mentioning?.text.toLowerCase();
  const fitting =
    wanted === undefined
      ? []
      : everybody
          .filter(({ name }) => ` ${name.toLowerCase()}`.includes(` ${wanted}`))
          .slice(0, SHOWN_MAX);
  const look = (element: HTMLTextAreaElement) => {
    setMentioning(mentioningAt(element.value, element.selectionStart));
    setAt(0);
  };
  const insert = (name: string) => {
    if (mentioning === null) return;
    const end = mentioning.at + 1 + mentioning.text.length;
    const before = `${text.slice(0, mentioning.at)}@${name} `;
    setText(before + text.slice(end).replace(/^ /, ""));
    setMentioning(null);
    requestAnimationFrame(() => {
      field.current?.focus();
      field.current?.setSelectionRange(before.length, before.length);
    });
  };
  const send = async () => {
    if (text.trim() === "" || isSending) return;
    setIsSending(true);
    const before = initial === "" ? "" : text;
    onItsWay.current = initial === "" ? text.trim() : "";
    setText(before);
    setMentioning(null);
    const isSent = await onSend(text.trim(), mentionsIn(text, everybody));
    setIsSending(false);
    const refused = isSent ? "" : onItsWay.current;
    onItsWay.current = "";
    const isAll = isSent && latest.current === before;
    setText(isAll ? initial : together(refused, latest.current));
    if (isAll) onSent?.();
  };
  const leave = () => {
    if (draftOf(draft) !== undefined) {
      const discard = { label: "Discard", run: () => dropDraft(draft) };
      toast("What you wrote is kept", "plain", discard);
    }
    onCancel?.();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (isComposing(event)) return;
    const chosen = fitting[at];
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void send();
    else if (fitting.length > 0 && event.key === "ArrowDown")
      setAt(Math.min(at + 1, fitting.length - 1));
    else if (fitting.length > 0 && event.key === "ArrowUp") setAt(Math.max(at - 1, 0));
    else if (chosen !== undefined && (event.key === "Enter" || event.key === "Tab"))
      insert(chosen.name);
    else if (event.key === "Escape" && fitting.length > 0) setMentioning(null);
    else if (event.key === "Escape" && onCancel !== undefined) leave();
    else if (event.key === "Escape") field.current && elsewhere.leave(field.current);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div className="relative rounded-md border border-line-strong bg-raised focus-within:border-accent">
      <textarea
        ref={(element) => {
          field.current = element;
          if (typeof ref === "function") ref(element);
          else if (ref) ref.current = element;
        }}
        // biome-ignore lint/a11y/noAutofocus: it was asked for just now
        autoFocus={autoFocus}
        aria-label={label}
        aria-controls={fitting.length > 0 ? `${id}-list` : undefined}
        aria-activedescendant={fitting.length > 0 ? `${id}-${at}` : undefined}
        placeholder={`${label}…`}
        maxLength={TEXT_CHARS_MAX}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          look(event.target);
        }}
        onClick={(event) => look(event.currentTarget)}
        onFocus={elsewhere.onFocus}
        onBlur={() => setMentioning(null)}
        onKeyDown={onKeyDown}
        className="field-sizing-content block max-h-[40vh] min-h-14 w-full resize-none bg-transparent px-3 py-2 outline-none placeholder:text-ink-3"
      />
      {fitting.length > 0 && (
        <div
          id={`${id}-list`}
          role="listbox"
          aria-label="Mention"
          className="absolute bottom-full left-2 z-20 mb-1 w-64 rounded-lg border border-line bg-overlay p-1 shadow-overlay animate-enter"
        >
          {fitting.map((one, index) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the field has the focus and the keys
            <div
              key={one.id}
              id={`${id}-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === at}
              onPointerDown={(event) => event.preventDefault()}
              onClick={() => insert(one.name)}
              className={cn(
                "flex h-8 cursor-default items-center gap-2 rounded-md px-2 hover:bg-hover",
                index === at && "bg-hover",
              )}
            >
              <Avatar who={nameOf(one.id)} />
              <span className="truncate">{one.name}</span>
            </div>
          ))}
        </div>
      )}
      <div className="flex items-center gap-2 px-2 pb-2">
        <p className="ml-1 flex-1 truncate text-sm text-ink-3 max-sm:invisible">
          Markdown, @ to mention, Ctrl ↵ to send
        </p>
        {onCancel !== undefined && (
          <Button
            kind="quiet"
            className="h-7 px-2"
            onClick={() => {
              setText(initial);
              onCancel();
            }}
          >
            Cancel
          </Button>
        )}
        <Button
          kind="primary"
          className="h-7"
          disabled={isSending || text.trim() === ""}
          onClick={() => void send()}
        >
          {action}
        </Button>
      </div>
    </div>
  );
}

/** Returns a text and what was written after it, in paragraphs of their own. */
function together(text: string, more: string): string {
  return [text, more].filter((each) => each.trim() !== "").join("\n\n");
}

/** Everybody who can be mentioned. */
function useEverybody(): { id: string; name: string }[] {
  const agents = useLive(agentsModel).data?.state;
  const members = useLive(membersModel).data?.state;
  return useMemo(() => {
    const people = [...(members?.values() ?? [])].flatMap(({ id, name, removed, disabled }) =>
      removed || disabled || name === null ? [] : [{ id, name }],
    );
    const fleet = [...(agents?.values() ?? [])].flatMap(({ id, name, lifecycle }) =>
      lifecycle === "retired" ? [] : [{ id, name }],
    );
    return [...people, ...fleet];
  }, [agents, members]);
}
