import { Check } from "lucide-react";
import { type KeyboardEvent, type ReactNode, useId, useState } from "react";
import { isComposing } from "@/lib/keys";
import { cn } from "@/lib/text";
import type { Choice } from "./Picker";

const SHOWN_MAX = 50;

/** A field, and below it what fits to what is typed there. */
export function PickerList({
  typed,
  label,
  choices,
  chosen,
  onPick,
  onQuery,
  create,
  empty,
}: {
  /** What was typed before it was there. */
  typed: string;
  label: string;
  choices: readonly Choice[];
  chosen: readonly string[] | undefined;
  onPick: (id: string) => void;
  onQuery: ((text: string) => void) | undefined;
  create: ((text: string) => void) | undefined;
  empty: string;
}) {
  const id = useId();
  const [text, setText] = useState(typed);
  const [at, setAt] = useState(0);
  const wanted = text.trim().toLowerCase();
  const fitting = (
    onQuery === undefined
      ? choices.filter((choice) => choice.text.toLowerCase().includes(wanted))
      : choices
  ).slice(0, SHOWN_MAX);
  const mayCreate =
    create !== undefined &&
    wanted !== "" &&
    !choices.some((choice) => choice.text.toLowerCase() === wanted);
  const count = fitting.length + (mayCreate ? 1 : 0);
  const pick = (index: number) => {
    const choice = fitting[index];
    if (choice !== undefined) onPick(choice.id);
    else if (mayCreate) {
      create(text.trim());
      setText("");
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (isComposing(event)) return;
    if (event.key === "ArrowDown") setAt((now) => Math.min(now + 1, count - 1));
    else if (event.key === "ArrowUp") setAt((now) => Math.max(now - 1, 0));
    else if (event.key === "Enter") pick(at);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <input
        role="combobox"
        aria-expanded
        aria-controls={`${id}-list`}
        aria-activedescendant={count > 0 ? `${id}-${at}` : undefined}
        aria-label={label}
        placeholder={label}
        value={text}
        onKeyDown={onKeyDown}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
          onQuery?.(event.target.value);
        }}
        className="h-9 w-full rounded-t-lg border-b border-line bg-transparent px-3 outline-none placeholder:text-ink-3"
      />
      <div
        id={`${id}-list`}
        role="listbox"
        aria-label={label}
        aria-multiselectable={chosen !== undefined}
        className="max-h-64 overflow-y-auto p-1"
      >
        {fitting.map((choice, index) => (
          <Option
            key={choice.id}
            id={`${id}-${index}`}
            isAt={index === at}
            isChosen={chosen?.includes(choice.id)}
            onPick={() => pick(index)}
          >
            {choice.mark}
            <span className="min-w-0 flex-1 truncate">{choice.text}</span>
            {choice.hint !== undefined && <span className="text-sm text-ink-2">{choice.hint}</span>}
          </Option>
        ))}
        {mayCreate && (
          <Option
            id={`${id}-${fitting.length}`}
            isAt={at === fitting.length}
            onPick={() => pick(fitting.length)}
          >
            <span className="truncate">Create “{text.trim()}”</span>
          </Option>
        )}
      </div>
      {count === 0 && <p className="px-3 pb-3 text-sm text-ink-3">{empty}</p>}
    </>
  );
}

function Option({
  id,
  isAt,
  isChosen,
  onPick,
  children,
}: {
  id: string;
  isAt: boolean;
  isChosen?: boolean | undefined;
  onPick: () => void;
  children: ReactNode;
}) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the focus and the keys
    <div
      id={id}
      role="option"
      tabIndex={-1}
      aria-selected={isChosen ?? isAt}
      ref={isAt ? (element) => element?.scrollIntoView({ block: "nearest" }) : null}
      onClick={onPick}
      className={cn(
        "flex min-h-8 cursor-default items-center gap-2 rounded-md px-2 hover:bg-hover",
        isAt && "bg-hover",
      )}
    >
      {children}
      {isChosen !== undefined && (
        <Check size={14} aria-hidden className={isChosen ? "text-accent" : "opacity-0"} />
      )}
    </div>
  );
}
