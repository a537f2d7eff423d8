import { type FocusEvent, type RefObject, useEffect, useLayoutEffect, useRef } from "react";

/** Where the focus was: the element, and what it stood in, from the inside out. */
type Place = readonly HTMLElement[];

const FOCUSABLE = ["a[href]", "button", "input", "textarea", "select", "[tabindex]"]
  .map((each) => `${each}:not(:disabled, [tabindex="-1"])`)
  .join();

/** Returns where an element is. For an item of a menu it is the button of the menu, as the item goes first. */
export function placeOf(element: Element | null): Place {
  if (!(element instanceof HTMLElement) || element === document.body) return [];
  const opener = element.closest("[role=menu]")?.getAttribute("aria-labelledby");
  const at = opener ? document.getElementById(opener) : element;
  const place: HTMLElement[] = [];
  const main = document.getElementById("main");
  for (let each = at; each !== null && !each.contains(document.body); each = each.parentElement) {
    if (each !== main && each.contains(main)) break;
    place.push(each);
  }
  if (element.closest("[role=dialog]") === null) last = place;
  // A dialog may be followed by another one: then what the first was opened from is the place to go back to.
  return last === place ? place : [...place, ...last];
}

/** Where the focus was when it was last looked for, outside dialogs. */
let last: Place = [];

/** Returns what can have the focus at a place or, where that has gone, nearest to it. */
function nearest(place: Place): HTMLElement | null {
  const isShown = (element: HTMLElement) => element.getClientRects().length > 0;
  for (const element of place) {
    if (!element.isConnected || !isShown(element)) continue;
    if (element.matches(FOCUSABLE) || element.hasAttribute("tabindex")) return element;
    const inside = [...element.querySelectorAll<HTMLElement>(FOCUSABLE)].find(isShown);
    if (inside !== undefined) return inside;
  }
  return place.length === 0 ? null : document.getElementById("main");
}

/** Gives the focus back, unless something has it by now. */
export function giveBack(place: Place): void {
  const { activeElement } = document;
  if (activeElement !== null && activeElement !== document.body) return;
  nearest(place)?.focus({ preventScroll: true });
}

/** Returns where the focus was before something opened: what is drawn may have taken it when an effect runs. */
function usePlaceBefore(isOpen: boolean): RefObject<Place> {
  const before = useRef<Place>([]);
  const was = useRef(false);
  if (isOpen && !was.current) before.current = placeOf(document.activeElement);
  was.current = isOpen;
  return before;
}

/**
 * For Radix's dialogs, as `onCloseAutoFocus`: Radix gives the focus back to its own trigger only, and ours have
 * none.
 */
export function useFocusBack(isOpen: boolean): (event?: Event) => void {
  const before = usePlaceBefore(isOpen);
  return (event) => {
    event?.preventDefault();
    giveBack(before.current);
  };
}

/**
 * For Radix's popups, as `onOpenAutoFocus`: gives their field the focus, behind what was typed before it was there. Radix
 * selects that, and the next letter would take its place.
 */
export function goOnTyping(event: Event): void {
  event.preventDefault();
  const field = (event.currentTarget as HTMLElement).querySelector("input");
  field?.focus();
  field?.setSelectionRange(field.value.length, field.value.length);
}

/**
 * For what is edited where it stands: when its field goes, the focus is given back to what opened it. Where the
 * field takes that one's place it is drawn anew, and has the ref that is returned.
 */
export function useOpenedBy<E extends HTMLElement>(isOpen: boolean): RefObject<E | null> {
  const opener = useRef<E>(null);
  const before = usePlaceBefore(isOpen);
  const was = useRef(isOpen);
  useLayoutEffect(() => {
    const hasClosed = was.current && !isOpen;
    was.current = isOpen;
    if (!hasClosed) return;
    // Not at once: a field that goes as it is left goes before the focus is where somebody takes it.
    setTimeout(() => giveBack(opener.current ? [opener.current] : before.current));
  }, [isOpen, before]);
  return opener;
}

/**
 * For a field that Escape leaves: what had the focus before has it again, or what the field stands in, where
 * the page's keys work.
 */
export function useLeave(): {
  onFocus: (event: FocusEvent<HTMLElement>) => void;
  leave: (field: HTMLElement) => void;
} {
  const before = useRef<Place>([]);
  return {
    onFocus: ({ relatedTarget }) => {
      before.current = placeOf(relatedTarget);
    },
    leave: (field) => {
      const around = field.parentElement?.closest<HTMLElement>("[tabindex]");
      field.blur();
      giveBack([...before.current, ...(around ? [around] : [])]);
    },
  };
}

/** Keeps the focus in a part of the page: when what has it goes, the nearest thing that stays has it. */
export function useFocusKept<E extends HTMLElement>(): RefObject<E | null> {
  const part = useRef<E>(null);
  useEffect(() => {
    const { current } = part;
    if (current === null) return;
    let place: Place = [];
    const onFocusIn = ({ target }: Event) => {
      place = placeOf(target as Element);
    };
    const onFocusOut = () => {
      const left = place[0];
      // It was left, and did not go.
      setTimeout(() => {
        if (left?.isConnected && left === place[0] && document.activeElement !== left) place = [];
      });
    };
    const observer = new MutationObserver(() => {
      if (place[0] === undefined || place[0].isConnected) return;
      const gone = place;
      place = [];
      setTimeout(() => giveBack(gone));
    });
    observer.observe(current, { childList: true, subtree: true });
    current.addEventListener("focusin", onFocusIn);
    current.addEventListener("focusout", onFocusOut);
    return () => {
      observer.disconnect();
      current.removeEventListener("focusin", onFocusIn);
      current.removeEventListener("focusout", onFocusOut);
    };
  }, []);
  return part;
}
