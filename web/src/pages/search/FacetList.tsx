import { useState } from "react";
import { agentsModel } from "@/api/queries";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import { PRIORITIES, STAGES } from "@/models/types";
import { type Filter, isChosen, KINDS, type SearchAddress } from "./address";
import { useFacetNames } from "./names";
import type { Facets } from "./query";

const SHOWN = 8;
const TITLES: Record<Filter, string> = {
  type: "What",
  stage: "Stage",
  priority: "Priority",
  board: "Board",
  label: "Label",
  agent: "Agent",
};
/** Facets whose values have an order of their own; the others are by count. */
const ORDERS: Partial<Record<Filter, readonly string[]>> = {
  type: KINDS,
  stage: STAGES,
  priority: PRIORITIES,
};

type Toggle = (filter: Filter, value: string) => void;

/** What narrows a search down, with how much would be left. */
export function FacetList({
  address,
  facets,
  onToggle,
}: {
  address: SearchAddress;
  facets: Facets;
  onToggle: Toggle;
}) {
  return (
    <div className="flex flex-col gap-4 max-md:grid max-md:grid-cols-2">
      {(["type", "stage", "priority", "board", "label"] as const).map((filter) => (
        <Facet
          key={filter}
          filter={filter}
          counts={facets[filter]}
          address={address}
          onToggle={onToggle}
        />
      ))}
      <AgentFilter address={address} onToggle={onToggle} />
    </div>
  );
}

function Facet({
  filter,
  counts,
  address,
  onToggle,
}: {
  filter: Exclude<Filter, "agent">;
  counts: Record<string, number>;
  address: SearchAddress;
  onToggle: Toggle;
}) {
  const [isWhole, setWhole] = useState(false);
  const nameOf = useFacetNames();
  const chosen = [address[filter] ?? []].flat() as string[];
  const order = ORDERS[filter];
  const values = [...new Set([...Object.keys(counts), ...chosen])];
  if (order) values.sort((a, b) => order.indexOf(a) - order.indexOf(b));
  if (values.length === 0) return null;
  const shown = isWhole
    ? values
    : values.filter((value, index) => index < SHOWN || chosen.includes(value));
  return (
    <fieldset className="min-w-0">
      <legend className="mb-1 px-1.5 text-sm font-medium text-ink-3">{TITLES[filter]}</legend>
      {shown.map((value) => (
        <Choice
          key={value}
          label={nameOf(filter, value)}
          count={counts[value] ?? 0}
          isChosen={isChosen(address, filter, value)}
          onToggle={() => onToggle(filter, value)}
        />
      ))}
      {values.length > shown.length && (
        <button
          type="button"
          onClick={() => setWhole(true)}
          className="px-1.5 py-1 text-sm text-accent"
        >
          {values.length - shown.length} more
        </button>
      )}
    </fieldset>
  );
}

function Choice({
  label,
  count,
  isChosen,
  onToggle,
}: {
  label: string;
  count: number;
  isChosen: boolean;
  onToggle: () => void;
}) {
  return (
    <button
      type="button"
      aria-pressed={isChosen}
      onClick={onToggle}
      className={cn(
        "transition-quick flex h-7 w-full items-center gap-2 rounded-md px-1.5 text-left",
        isChosen ? "bg-accent-soft font-medium text-ink" : "text-ink-2 hover:bg-hover",
      )}
    >
      <span className="min-w-0 flex-1 truncate">{label}</span>
      <span className="tabular text-sm text-ink-3">{count}</span>
    </button>
  );
}

/** Which agent said it, or holds the mission: not counted, so a list of all. */
function AgentFilter({ address, onToggle }: { address: SearchAddress; onToggle: Toggle }) {
  const agents = useLive(agentsModel).data?.state;
  if (agents === undefined || agents.size === 0) return null;
  const named = [...agents.values()].sort((a, b) => a.name.localeCompare(b.name));
  return (
    <fieldset className="min-w-0">
      <legend className="mb-1 px-1.5 text-sm font-medium text-ink-3">{TITLES.agent}</legend>
      <select
        aria-label="Agent"
        value={address.agent ?? ""}
        onChange={({ target }) => onToggle("agent", target.value || (address.agent ?? ""))}
        className="h-8 w-full rounded-md border border-line bg-raised px-1.5 text-ink-2"
      >
        <option value="">Any agent</option>
        {named.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
    </fieldset>
  );
}
