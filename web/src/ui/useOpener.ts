import {
  type ButtonHTMLAttributes,
  cloneElement,
  type KeyboardEvent,
  type PointerEvent,
  type ReactElement,
  type Ref,
  type RefObject,
  useCallback,
  useId,
  useRef,
  useState,
} from "react";
import { radix } from "./radix";

/** A button without handlers of its own: what a press does is told here. */
export type Trigger = ReactElement<
  ButtonHTMLAttributes<HTMLButtonElement> & { ref?: Ref<HTMLButtonElement> }
>;

/** What a list or menu has to know of the button that opens it. */
export type Opener = {
  button: RefObject<HTMLButtonElement | null>;
  /** Of the button and of what it opens. */
  ids: { button: string; content: string };
  open: boolean;
  onOpenChange: (now: boolean) => void;
};

/**
 * Draws the button that opens something; what it opens comes in a file of its own, as few buttons are ever
 * pressed. `isUsed` tells that it may soon be opened, or has been: what is drawn of it from then on stays, and
 * gives the focus back.
 */
export function useOpener(
  trigger: Trigger,
  popup: "menu" | "dialog",
  onChange?: (now: boolean) => void,
): { drawn: ReactElement; opener: Opener; isUsed: boolean } {
  const id = useId();
  const [open, setOpen] = useState(false);
  const [isUsed, setUsed] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const own = trigger.props.ref;
  const ref = useCallback(
    (element: HTMLButtonElement | null) => {
      button.current = element;
      if (typeof own === "function") own(element);
      else if (own) own.current = element;
    },
    [own],
  );
  const prepare = () => {
    radix.load();
    setUsed(true);
  };
  const onOpenChange = (now: boolean) => {
    prepare();
    setOpen(now);
    onChange?.(now);
  };
  const ids = { button: trigger.props.id ?? `${id}-button`, content: `${id}-content` };
  const drawn = cloneElement(trigger, {
    ref,
    id: ids.button,
    "aria-haspopup": popup,
    "aria-expanded": open,
    "aria-controls": open ? ids.content : undefined,
    onPointerEnter: radix.load,
    onFocus: prepare,
    ...(popup === "menu" ? asMenu(open, onOpenChange) : { onClick: () => onOpenChange(!open) }),
  });
  return { drawn, opener: { button, ids, open, onOpenChange }, isUsed };
}

const MENU_KEYS = ["Enter", " ", "ArrowDown"];

/** A menu opens when its button goes down, so that one can press, point and let go; a list on a click. */
function asMenu(open: boolean, onOpenChange: (now: boolean) => void) {
  return {
    onPointerDown: (event: PointerEvent) => {
      if (event.button !== 0 || event.ctrlKey) return;
      // The focus goes to the menu, and not to the button after it.
      if (!open) event.preventDefault();
      onOpenChange(!open);
    },
    onKeyDown: (event: KeyboardEvent) => {
      if (!MENU_KEYS.includes(event.key)) return;
      event.preventDefault();
      onOpenChange(!open);
    },
  };
}
