import { type ReactNode, useState } from "react";
import { isComposing } from "@/lib/keys";
import { NoConnection } from "./NoConnection";
import type { ListProps } from "./RadixParts";
import { radix } from "./radix";
import { type Trigger, useOpener } from "./useOpener";

export type Choice = { id: string; text: string; mark?: ReactNode; hint?: string };

const Content = radix.part(({ PickerContent }) => PickerContent, Waiting);

/**
 * A list to choose from by typing, on a button. `chosen` makes it one of several that stay open. Without
 * `onQuery` it filters by itself; `create` offers what was typed where nothing is called that.
 */
export function Picker({
  trigger,
  label,
  choices,
  chosen,
  onPick,
  onQuery,
  create,
  empty = "Nothing found",
  align = "start",
}: {
  trigger: Trigger;
  label: string;
  choices: readonly Choice[];
  chosen?: readonly string[];
  onPick: (id: string) => void;
  onQuery?: (text: string) => void;
  create?: (text: string) => void;
  empty?: string;
  align?: "start" | "end";
}) {
  const [typed, setTyped] = useState("");
  const type = (text: string) => {
    setTyped(text);
    onQuery?.(text);
  };
  const { drawn, opener, isUsed } = useOpener(trigger, "dialog", () => type(""));
  return (
    <>
      {drawn}
      {isUsed && (
        <Content
          opener={opener}
          typed={typed}
          onTyped={type}
          align={align}
          label={label}
          choices={choices}
          chosen={chosen}
          onQuery={onQuery}
          create={create}
          empty={empty}
          onPick={(id) => {
            onPick(id);
            if (chosen === undefined) opener.onOpenChange(false);
          }}
        />
      )}
    </>
  );
}

/** Has the focus until the list has come, so that what is typed goes there, and not to the page's keys. */
function Waiting({ opener: { open, onOpenChange }, label, typed, onTyped }: ListProps) {
  return open ? (
    <>
      <NoConnection />
      <input
        ref={(element) => element?.focus()}
        aria-label={label}
        value={typed}
        onChange={({ target }) => onTyped(target.value)}
        onKeyDown={(event) => event.key === "Escape" && !isComposing(event) && onOpenChange(false)}
        className="sr-only"
      />
    </>
  ) : null;
}
