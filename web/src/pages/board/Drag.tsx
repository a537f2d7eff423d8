import { Accessibility, KeyboardSensor, StyleInjector } from "@dnd-kit/dom";
import { DragDropProvider, DragOverlay, useDraggable, useDroppable } from "@dnd-kit/react";
import { type ComponentProps, memo, useRef } from "react";
import { CardFace } from "./CardFace";
import { useBoardContext } from "./context";
import { useDragged, useHandles } from "./handles";
import { columnOf, type Target, usePending } from "./moves";

const NONCE = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? "";

/** By the names of cards and columns: left alone, the library says ids. Of a card that was put, `move` tells. */
const SPOKEN: NonNullable<ConstructorParameters<typeof Accessibility>[1]> = {
  announcements: {
    dragstart: ({ operation: { source } }) =>
      source ? `${titleOf(source.id)}: picked up` : undefined,
    dragover: ({ operation: { target } }) => (target ? `Over ${nameOf(target.id)}` : undefined),
    dragend: ({ operation: { source }, canceled }) =>
      canceled && source ? `${titleOf(source.id)}: stays where it was` : undefined,
  },
};
const PLUGINS: NonNullable<ComponentProps<typeof DragDropProvider>["plugins"]> = (defaults) => [
  ...defaults.filter((plugin) => plugin !== Accessibility),
  Accessibility.configure(SPOKEN),
  StyleInjector.configure({ nonce: NONCE }),
];

/** An arrow takes a card that was picked up a column aside, or over a card: with `CARD_PX` and gaps. */
const STEP_PX = { x: 300, y: 98 };
const SENSORS: NonNullable<ComponentProps<typeof DragDropProvider>["sensors"]> = (defaults) => [
  ...defaults.filter((sensor) => sensor !== KeyboardSensor),
  KeyboardSensor.configure({ offset: STEP_PX }),
];

type Operation = Parameters<
  NonNullable<ComponentProps<typeof DragDropProvider>["onDragMove"]>
>[0]["operation"];
type Props = {
  onStart: (cardId: string) => void;
  /** Where the card would be put now. */
  onOver: (target: Target | null) => void;
  /** The card was let go there; null where it stays where it was. */
  onEnd: (cardId: string, target: Target | null) => void;
};

/**
 * Makes cards move by their handles. It stands beside the columns and wraps nothing, so that it can come when
 * they are long on the page.
 */
export function Drag({ onStart, onOver, onEnd }: Props) {
  const context = useBoardContext();
  const target = useRef<Target | null>(null);
  /** Where the card that is dragged would be put now; null where it is over no column. */
  const placeOf = ({ position, source, target: column }: Operation): Target | null => {
    if (!column) return null;
    const id = String(column.id);
    const { moves } = usePending.getState();
    // What is drawn is held while a card is dragged: some of it may have gone.
    const isThere = (card: string) => columnOf(context.board, moves, card) === id;
    return targetAt(id, position.current.y, String(source?.id), isThere);
  };
  const over = (now: Target | null) => {
    if (isSame(now, target.current)) return; // a pointer moves more often than its place changes
    target.current = now;
    onOver(now);
  };
  return (
    <DragDropProvider
      plugins={PLUGINS}
      sensors={SENSORS}
      onDragStart={({ operation: { source } }) => {
        const id = String(source?.id);
        useDragged.setState({ id });
        onStart(id);
      }}
      onDragMove={({ operation }) => over(placeOf(operation))}
      // A key moves a card at one go: which column it is over is known behind its only move.
      onDragOver={({ operation }) => over(placeOf(operation))}
      onDragEnd={({ operation, canceled }) => {
        useDragged.setState({ id: null });
        onEnd(String(operation.source?.id), canceled ? null : placeOf(operation));
        target.current = null;
      }}
    >
      <Registered />
      <DragOverlay dropAnimation={null}>{({ id }) => <InHand cardId={String(id)} />}</DragOverlay>
    </DragDropProvider>
  );
}

/** The card that is dragged, as it looks in the hand. */
function InHand({ cardId }: { cardId: string }) {
  const card = useBoardContext().board.cards.get(cardId);
  return card === undefined ? null : (
    <div className="rotate-1 rounded-md shadow-overlay">
      <CardFace card={card} />
    </div>
  );
}

function Registered() {
  const { handles, columns } = useHandles();
  return (
    <>
      {[...columns].map(([id, element]) => (
        <Onto key={id} id={id} element={element} />
      ))}
      {[...handles].map(([id, handle]) => (
        <By key={id} id={id} handle={handle} />
      ))}
    </>
  );
}

const Onto = memo(function Onto({ id, element }: { id: string; element: HTMLElement }) {
  useDroppable({ id, element });
  return null;
});

const By = memo(function By({ id, handle }: { id: string; handle: HTMLElement }) {
  const card = handle.closest("[data-card]");
  useDraggable({ id, handle, ...(card === null ? {} : { element: card }) });
  return null;
});

/**
 * Returns where a card would be put: before the first one whose middle is below the pointer, or after the
 * last. Only cards that are still there count, and of its own group, as a card stays in it wherever it is put.
 */
function targetAt(
  columnId: string,
  y: number,
  dragged: string,
  isThere: (card: string) => boolean,
): Target {
  const group = document.querySelector<HTMLElement>(`[data-card="${dragged}"]`)?.dataset.group;
  const list = document.querySelector(`[data-column="${columnId}"]`);
  const others = [...(list?.querySelectorAll<HTMLElement>("[data-card]") ?? [])].filter(
    ({ dataset: { card = "", ...rest } }) =>
      card !== dragged && rest.group === group && isThere(card),
  );
  for (const element of others) {
    const { top, height } = element.getBoundingClientRect();
    if (y < top + height / 2) return { columnId, ...beside("before", element) };
  }
  return { columnId, ...beside("after", others.at(-1)) };
}

function beside(side: "before" | "after", element: HTMLElement | undefined) {
  const id = element?.dataset.card;
  return id === undefined ? {} : { [side]: id };
}

function titleOf(cardId: unknown): string {
  return document.querySelector(`[data-card="${cardId}"] h3`)?.textContent ?? "The card";
}

function nameOf(columnId: unknown): string {
  return document.querySelector(`[data-column="${columnId}"]`)?.ariaLabel ?? "a column";
}

function isSame(a: Target | null, b: Target | null): boolean {
  return a?.columnId === b?.columnId && a?.before === b?.before && a?.after === b?.after;
}
