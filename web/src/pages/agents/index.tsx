import { useNavigate, useSearch } from "@tanstack/react-router";
import { Bot, ChevronDown, Plus, SearchX } from "lucide-react";
import { useMemo, useRef } from "react";
import { fleetModel, useMay } from "@/api/queries";
import { isComposing } from "@/lib/keys";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import type { Agents } from "@/models/agents";
import { byState } from "@/models/fleet";
import { FLEET_STATES } from "@/models/types";
import { useMoment } from "@/shell/moment";
import { Page } from "@/shell/Shell";
import { useShortcuts } from "@/shell/shortcuts";
import { Button } from "@/ui/Button";
import { INPUT } from "@/ui/Field";
import { Menu, MenuItem } from "@/ui/Menu";
import { Empty, Failure, Skeleton } from "@/ui/states";
import { useNew } from "@/ui/useNew";
import { Fleet } from "./Fleet";
import { RegisterAgent } from "./RegisterAgent";
import type { AgentsSearch } from "./search";
import { STATE_NAMES, StateDot } from "./state";

/** The fleet: who works on what, who waits, and who was not heard of. */
export default function AgentsPage() {
  const { at, isPast } = useMoment();
  const { data, error, refetch } = useLive(fleetModel(at));
  const mayManage = useMay("manage_agents") && !isPast;
  const [isRegistering, setIsRegistering] = useNew();
  const button = useRef<HTMLButtonElement>(null);
  const register = () => setIsRegistering(true);
  const close = () => {
    setIsRegistering(false);
    // Two dialogs followed each other: the second can't know where the focus was before the first.
    requestAnimationFrame(() => button.current?.focus());
  };
  useShortcuts(
    mayManage ? [{ keys: "n", label: "Register an agent", group: "Agents", run: register }] : [],
  );
  return (
    <Page
      title="Agents"
      actions={
        mayManage && (
          <Button ref={button} kind="primary" onClick={register}>
            <Plus size={14} aria-hidden />
            <span className="max-sm:sr-only">Register agent</span>
          </Button>
        )
      }
    >
      {data === undefined && error !== null && <Failure error={error} retry={refetch} />}
      {data === undefined && error === null && <FleetSkeleton />}
      {data?.state.size === 0 && (
        <Empty
          icon={Bot}
          title="No agents yet"
          action={mayManage && <Button onClick={register}>Register agent</Button>}
        >
          An agent is a program that claims missions and works on them. It needs a name and a key.
        </Empty>
      )}
      {data !== undefined && data.state.size > 0 && (
        <Filtered agents={data.state} isPast={isPast} />
      )}
      {mayManage && isRegistering && <RegisterAgent onClose={close} />}
    </Page>
  );
}

function Filtered({ agents, isPast }: { agents: Agents; isPast: boolean }) {
  const search = useSearch({ from: "/app/agents" });
  const { q, state, capability } = search;
  const navigate = useNavigate({ from: "/agents" });
  const groups = useMemo(
    () => byState(agents.values(), { q, state, capability }),
    [agents, q, state, capability],
  );
  return (
    <div className="flex h-full flex-col">
      <Filters agents={agents} search={search} />
      {groups.length > 0 ? (
        <Fleet groups={groups} isPast={isPast} />
      ) : (
        <Empty
          icon={SearchX}
          title="No agent is like that"
          action={<Button onClick={() => navigate({ search: {} })}>Clear the filters</Button>}
        >
          Nobody in the fleet matches all of the filters.
        </Empty>
      )}
    </div>
  );
}

function Filters({ agents, search }: { agents: Agents; search: AgentsSearch }) {
  const navigate = useNavigate({ from: "/agents" });
  const field = useRef<HTMLInputElement>(null);
  const capabilities = useMemo(
    () => [...new Set([...agents.values()].flatMap((agent) => agent.capabilities))].sort(),
    [agents],
  );
  const show = (change: { [Key in keyof AgentsSearch]: AgentsSearch[Key] | undefined }) =>
    void navigate({
      replace: true,
      search: (now) =>
        Object.fromEntries(
          Object.entries({ ...now, ...change }).filter(([, value]) => value),
        ) as AgentsSearch,
    });
  useShortcuts([
    { keys: "/", label: "Filter agents", group: "Agents", run: () => field.current?.focus() },
  ]);
  return (
    <div className="flex shrink-0 flex-wrap items-center gap-2 border-b border-line px-3 py-2 md:px-4">
      <input
        ref={field}
        type="search"
        aria-label="Filter by name, role or capability"
        placeholder="Filter"
        value={search.q ?? ""}
        onChange={(event) => show({ q: event.target.value })}
        onKeyDown={(event) =>
          event.key === "Escape" && !isComposing(event) && event.currentTarget.blur()
        }
        className={cn(INPUT, "!h-8 !w-40 max-sm:!w-full sm:!w-56")}
      />
      <Menu
        trigger={
          <Button aria-label="Filter by state">
            {search.state === undefined ? "Any state" : STATE_NAMES[search.state]}
            <ChevronDown size={14} aria-hidden />
          </Button>
        }
      >
        <MenuItem checked={search.state === undefined} onSelect={() => show({ state: undefined })}>
          Any state
        </MenuItem>
        {FLEET_STATES.map((state) => (
          <MenuItem key={state} checked={search.state === state} onSelect={() => show({ state })}>
            <StateDot state={state} />
            {STATE_NAMES[state]}
          </MenuItem>
        ))}
      </Menu>
      <Menu
        trigger={
          <Button aria-label="Filter by capability">
            {search.capability ?? "Any capability"}
            <ChevronDown size={14} aria-hidden />
          </Button>
        }
      >
        <MenuItem
          checked={search.capability === undefined}
          onSelect={() => show({ capability: undefined })}
        >
          Any capability
        </MenuItem>
        {capabilities.map((capability) => (
          <MenuItem
            key={capability}
            checked={search.capability === capability}
            onSelect={() => show({ capability })}
          >
            {capability}
          </MenuItem>
        ))}
      </Menu>
    </div>
  );
}

function FleetSkeleton() {
  return (
    <div role="status" aria-label="Loading the fleet" className="flex flex-col gap-2 p-4">
      <Skeleton className="h-8 w-56" />
      {[1, 2, 3, 4, 5, 6].map((row) => (
        <Skeleton key={row} className="h-11" />
      ))}
    </div>
  );
}
