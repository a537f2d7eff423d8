import { Component, createRef, type ReactNode, type RefObject } from "react";
import type { Row, View } from "./view";

type Rows = ReadonlyMap<string, readonly Row[]>;
type Props = {
  /** What each column shows. */
  rows: Rows;
  /** What somebody looks for is shown at once: only what happens on the board moves. */
  view: View;
  /** A card that a hand put where it is. */
  still: RefObject<string | null>;
  className: string;
  children: ReactNode;
};

const CALM_MS = 240;
const EASE_OUT = "cubic-bezier(0.2, 0.8, 0.2, 1)";
const TIMING: KeyframeAnimationOptions = { duration: CALM_MS, easing: EASE_OUT };

/**
 * Cards that arrive fade in; those that move glide to their new place. Where changes come faster than that,
 * or somebody asked for less motion, they are just there. A class, as only one is told before the page changes.
 */
export class Glide extends Component<Props> {
  private root = createRef<HTMLDivElement>();
  private busyUntil = 0;

  override getSnapshotBeforeUpdate(before: Props): Map<string, DOMRect> | null {
    const { rows, view } = this.props;
    if (before.view !== view || before.rows === rows || isSameOrder(before.rows, rows)) return null;
    if (performance.now() < this.busyUntil || isCalm()) return null;
    return new Map([...this.cards()].map(([id, card]) => [id, card.getBoundingClientRect()]));
  }

  override componentDidUpdate(before: Props, _: object, places: Map<string, DOMRect> | null): void {
    if (places === null) return;
    this.busyUntil = performance.now() + CALM_MS;
    const known = new Set(columnOfEach(before.rows).keys());
    const moves = [...this.cards()].map(([id, card]) => ({
      id,
      card,
      from: places.get(id),
      to: card.getBoundingClientRect(),
    }));
    for (const { id, card, from, to } of moves) {
      if (id === this.props.still.current) continue;
      if (from === undefined) {
        if (!known.has(id)) card.animate({ opacity: [0, 1], scale: [0.97, 1] }, TIMING);
      } else if (from.left !== to.left) fly(card, from, to);
      else if (Math.abs(from.top - to.top) > 1) {
        card.animate({ translate: [`0 ${from.top - to.top}px`, "0 0"] }, TIMING);
      }
    }
  }

  private *cards(): Generator<[string, HTMLElement]> {
    for (const card of this.root.current?.querySelectorAll<HTMLElement>("[data-card]") ?? []) {
      if (card.dataset.card !== undefined) yield [card.dataset.card, card];
    }
  }

  override render(): ReactNode {
    return (
      <div ref={this.root} className={this.props.className}>
        {this.props.children}
      </div>
    );
  }
}

/** From one column to another a copy flies over the board, as a column cuts off what leaves it. */
function fly(card: HTMLElement, from: DOMRect, to: DOMRect): void {
  const copy = card.firstElementChild?.cloneNode(true);
  if (!(copy instanceof HTMLElement)) return;
  copy.inert = true;
  copy.ariaHidden = "true";
  copy.classList.add("fixed", "z-20", "pointer-events-none");
  Object.assign(copy.style, { left: `${to.left}px`, top: `${to.top}px`, width: `${to.width}px` });
  document.body.append(copy);
  card.animate({ opacity: [0, 0] }, TIMING);
  const path = [`${from.left - to.left}px ${from.top - to.top}px`, "0 0"];
  const flight = copy.animate({ translate: path }, TIMING);
  flight.onfinish = flight.oncancel = () => copy.remove();
}

/** Whether somebody asked their system for less motion, or doesn't look. */
function isCalm(): boolean {
  return document.hidden || matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Whether the same cards stand in the same places. */
export function isSameOrder(one: Rows, other: Rows): boolean {
  const before = columnOfEach(one);
  const after = [...columnOfEach(other)];
  if (before.size !== after.length) return false;
  let at = 0;
  for (const [id, column] of before) {
    const [id2, column2] = after[at++] ?? [];
    if (id !== id2 || column !== column2) return false;
  }
  return true;
}

/** Returns the column of each card, in the order of the board. */
function columnOfEach(rows: Rows): Map<string, string> {
  const columns = new Map<string, string>();
  for (const [column, shown] of rows) {
    for (const row of shown) if (row.kind === "card") columns.set(row.card.id, column);
  }
  return columns;
}
