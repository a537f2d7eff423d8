import type { ReactNode } from "react";
import { radix } from "./radix";
import { type Trigger, useOpener } from "./useOpener";

export type Choice = { id: string; text: string; mark?: ReactNode; hint?: string };

const Content = radix.part(({ PickerContent }) => PickerContent);

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
  const { drawn, opener, isUsed } = useOpener(trigger, "dialog", () => onQuery?.(""));
  return (
    <>
      {drawn}
      {isUsed && (
        <Content
          opener={opener}
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
