import { Ban, CircleUser, MoveRight, SignalHigh, X } from "lucide-react";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { agentsModel, membersModel } from "@/api/queries";
import { useLive } from "@/live/query";
import type { Card, Priority } from "@/models/types";
import { useShortcuts } from "@/shell/shortcuts";
import { Button, IconButton } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Avatar, StageMark } from "@/ui/marks";
import { type Choice, Picker } from "@/ui/Picker";
import { assignAll, cancelAll, moveAll, prioritiseAll, unassignAll } from "./bulk";
import { useBoardContext } from "./context";
import { PRIORITY_CHOICES } from "./FilterBar";
import { focusBeside, focusCard, select } from "./selection";
import { NOBODY } from "./view";

/** What can be done with the cards that are selected. Each key opens what its button does. */
export function BulkBar({ cards }: { cards: Card[] }) {
  const { board, columns, nameOf } = useBoardContext();
  const [isAsking, setAsking] = useState(false);
  const buttons = useRef<Record<string, HTMLButtonElement | null>>({});
  const hold = (name: string) => (element: HTMLButtonElement | null) => {
    buttons.current[name] = element;
  };
  const open = (name: string) => () => buttons.current[name]?.click();
  const close = () => setAsking(false);
  const clear = () => select([]);
  const group = "Board: selected cards";
  useShortcuts([
    { keys: "m", label: "Move to", group, run: open("move") },
    { keys: "a", label: "Assign to", group, run: open("assign") },
    { keys: "p", label: "Set the priority", group, run: open("priority") },
    { keys: "Delete", label: "Cancel the missions", group, run: () => setAsking(true) },
    { keys: "Escape", label: "Select nothing", group, run: clear },
  ]);
  const first = useRef(cards[0]?.id);
  first.current = cards[0]?.id;
  // The focus was in the bar, or in a list that it opened: it goes back to where it came from.
  useEffect(
    () => () => {
      if (document.activeElement === document.body && first.current) focusCard(first.current);
    },
    [],
  );
  const people = usePeople();
  const assignTo = (id: string) =>
    void (id === NOBODY ? unassignAll(cards) : assignAll(cards, nameOf(id)));
  const missions = cards.length === 1 ? "1 mission" : `${cards.length} missions`;
  return (
    <div
      data-bottom-bar
      className="pointer-events-none absolute inset-x-2 bottom-3 z-20 flex justify-center"
    >
      <div
        role="toolbar"
        aria-label="Selected cards"
        className="pointer-events-auto flex max-w-full items-center gap-1 overflow-x-auto rounded-lg border border-line-strong bg-overlay p-1 shadow-overlay animate-enter"
      >
        <span className="tabular shrink-0 px-2 font-medium">{cards.length} selected</span>
        <Picker
          label="Move to"
          choices={columns.map(({ id, name, stage }) => ({
            id,
            text: name,
            mark: <StageMark stage={stage} />,
          }))}
          onPick={(picked) => {
            const column = columns.find(({ id }) => id === picked);
            if (column !== undefined) void moveAll(board, cards, column);
          }}
          trigger={
            <Act ref={hold("move")} label="Move to" icon={<MoveRight size={14} aria-hidden />} />
          }
        />
        <Picker
          label="Assign to"
          choices={people}
          onPick={assignTo}
          trigger={
            <Act
              ref={hold("assign")}
              label="Assign to"
              icon={<CircleUser size={14} aria-hidden />}
            />
          }
        />
        <Picker
          label="Set the priority"
          choices={PRIORITY_CHOICES}
          onPick={(id) => void prioritiseAll(cards, id as Priority)}
          trigger={
            <Act
              ref={hold("priority")}
              label="Priority"
              icon={<SignalHigh size={14} aria-hidden />}
            />
          }
        />
        <Act
          label="Cancel missions"
          kind="danger"
          icon={<Ban size={14} aria-hidden />}
          onClick={() => setAsking(true)}
        />
        <IconButton label="Select nothing (Escape)" onClick={clear}>
          <X size={14} aria-hidden />
        </IconButton>
      </div>
      <Dialog open={isAsking} onClose={close} title={`Cancel ${missions}?`}>
        <p className="text-ink-2">
          {cards.length === 1
            ? "It goes from the board for everybody, and what works on it is told to stop. Its history stays."
            : "They go from the board for everybody, and what works on them is told to stop. Their history stays."}
        </p>
        <div className="mt-5 flex justify-end gap-2">
          <Button onClick={close}>Keep {cards.length === 1 ? "it" : "them"}</Button>
          <Button
            kind="danger"
            onClick={() => {
              close();
              focusBeside(cards);
              void cancelAll(cards);
            }}
          >
            Cancel {missions}
          </Button>
        </div>
      </Dialog>
    </div>
  );
}

/** A button of the bar; on a phone its icon stands for it. */
function Act({
  label,
  icon,
  ...rest
}: {
  label: string;
  icon: ReactNode;
  kind?: "danger";
  onClick?: () => void;
  ref?: React.Ref<HTMLButtonElement>;
}) {
  return (
    <Button kind="quiet" title={label} className="!px-2" {...rest}>
      {icon}
      <span className="max-sm:sr-only">{label}</span>
    </Button>
  );
}

/** Returns whom a mission can be assigned to: nobody, people, and agents. */
function usePeople(): Choice[] {
  const { nameOf } = useBoardContext();
  const agents = useLive(agentsModel).data?.state;
  const members = useLive(membersModel).data?.state;
  return useMemo(() => {
    const people = [...(members?.values() ?? [])].filter((one) => !one.removed && !one.disabled);
    const fleet = [...(agents?.values() ?? [])].filter(({ lifecycle }) => lifecycle !== "retired");
    return [
      { id: NOBODY, text: "Nobody" },
      ...[...people, ...fleet].map(({ id }) => ({
        id,
        text: nameOf(id).name,
        mark: <Avatar who={nameOf(id)} />,
      })),
    ];
  }, [members, agents, nameOf]);
}
