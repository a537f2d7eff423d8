import type { ReactNode } from "react";
import { NoConnection } from "./NoConnection";
import { radix } from "./radix";
import { type Opener, type Trigger, useOpener } from "./useOpener";

const Content = radix.part(({ MenuContent }) => MenuContent, Waiting);
export const MenuItem = radix.part((parts) => parts.MenuItem);
export const MenuLabel = radix.part((parts) => parts.MenuLabel);
export const MenuSeparator = radix.part((parts) => parts.MenuSeparator);

/** A menu on a button: `trigger` is the button. */
export function Menu({
  trigger,
  children,
  align = "start",
}: {
  trigger: Trigger;
  children: ReactNode;
  align?: "start" | "end";
}) {
  const { drawn, opener, isUsed } = useOpener(trigger, "menu");
  return (
    <>
      {drawn}
      {isUsed && (
        <Content opener={opener} align={align}>
          {children}
        </Content>
      )}
    </>
  );
}

function Waiting({ opener }: { opener: Opener }) {
  return opener.open && <NoConnection />;
}
