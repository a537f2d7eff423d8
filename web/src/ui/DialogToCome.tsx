import type { KeyboardEvent, ReactNode } from "react";
import { useFocusBack } from "./focus";
import { NoConnection } from "./NoConnection";

const takeFocus = (element: HTMLElement | null) => element?.focus();

/**
 * In a dialog's place while its script is on its way. It has the focus, as the dialog will: no key is meant for the page
 * any more. Escape gives the dialog up.
 */
export function DialogToCome({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose: () => void;
  /** What has the focus instead, if anything can be typed by now. */
  children?: ReactNode;
}) {
  const giveBack = useFocusBack(true);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Escape" && event.key !== "Tab") return;
    event.preventDefault();
    if (event.key === "Tab") return;
    onClose();
    setTimeout(giveBack); // when this has gone
  };
  return (
    <div
      ref={children === undefined ? takeFocus : null}
      role="dialog"
      aria-modal
      aria-busy
      aria-label={title}
      tabIndex={-1}
      onKeyDown={onKeyDown}
      className="sr-only"
    >
      <NoConnection />
      {children}
    </div>
  );
}
