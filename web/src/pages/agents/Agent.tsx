import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { Ellipsis, History } from "lucide-react";
import { type ReactNode, useState } from "react";
import { api, body, type Done } from "@/api/client";
import { agentQuery, heartbeatsQuery, refreshAgent } from "@/api/fleet";
import { problemOf } from "@/api/problem";
import { fleetModel, useDirectory, useMay } from "@/api/queries";
import { useLive } from "@/live/query";
import { stateOf } from "@/models/fleet";
import type { Agent } from "@/models/types";
import { useMoment } from "@/shell/moment";
import { Page } from "@/shell/Shell";
import { Age } from "@/ui/Age";
import { announce, toast } from "@/ui/announce";
import { Button, IconButton } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Menu, MenuItem } from "@/ui/Menu";
import { Avatar, Tag } from "@/ui/marks";
import { Empty, Failure, Loading } from "@/ui/states";
import { AgentCharts } from "./AgentCharts";
import { Holdings, PastHoldings } from "./Holdings";
import { Keys } from "./Keys";
import { Recent } from "./Recent";
import { STATE_NAMES, StateDot } from "./state";

/** One agent: what it does now, what it did, and the keys by which it comes. */
export default function AgentPage() {
  const { agentId } = useParams({ from: "/app/agents/$agentId" });
  const document = useQuery(agentQuery(agentId));
  const { at, isPast } = useMoment();
  const fleet = useLive(fleetModel(at)).data?.state;
  const mayManage = useMay("manage_agents") && !isPast;
  // The list's row follows events; the document has the keys, and what no list shows yet.
  const agent = fleet?.get(agentId) ?? (isPast ? undefined : document.data);
  if (isPast && fleet !== undefined && agent === undefined) {
    return (
      <Page title="Agent">
        <Empty icon={History} title="Not there at this moment">
          The agent was registered later than the moment that you are looking at.
        </Empty>
      </Page>
    );
  }
  if (agent === undefined) {
    return (
      <Page title="Agent">
        {document.error === null ? (
          <Loading label="Loading the agent" />
        ) : (
          <Failure error={document.error} retry={document.refetch} />
        )}
      </Page>
    );
  }
  return (
    <Page title={agent.name} actions={mayManage && <Actions agent={agent} />}>
      <div className="mx-auto grid max-w-400 grid-cols-1 gap-3 p-3 md:p-4 xl:grid-cols-[minmax(0,1fr)_22rem] xl:grid-rows-[auto_1fr]">
        <Facts agent={agent} isPast={isPast} />
        {isPast ? (
          <>
            <PastHoldings agent={agent} />
            <p className="text-sm text-ink-3">Figures and keys are told of now alone.</p>
          </>
        ) : (
          <>
            <Holdings agentId={agentId} />
            <div className="flex min-w-0 flex-col gap-3">
              <AgentCharts agentId={agentId} />
            </div>
            <div className="flex min-w-0 flex-col gap-3">
              {document.data?.keys !== undefined && (
                <Keys agent={agent} keys={document.data.keys} />
              )}
              <Recent agentId={agentId} />
            </div>
          </>
        )}
      </div>
    </Page>
  );
}

function Facts({ agent, isPast }: { agent: Agent; isPast: boolean }) {
  const { data: heartbeats } = useQuery(heartbeatsQuery);
  const nameOf = useDirectory();
  const state = stateOf(agent);
  const seenAt = heartbeats?.get(agent.id) ?? agent.seen_at ?? null;
  return (
    <section aria-label="Facts" className="rounded-lg border border-line bg-surface p-4">
      <div className="flex items-center gap-3">
        <Avatar
          who={{ id: agent.id, name: agent.name, kind: "agent" }}
          working={state === "busy"}
        />
        <div className="min-w-0">
          <h2 className="truncate text-lg font-semibold">{agent.name}</h2>
          <p className="truncate text-ink-2">{agent.role || "No role"}</p>
        </div>
      </div>
      <dl className="mt-3 flex flex-wrap gap-x-8 gap-y-2">
        <Fact name="State">
          <StateDot state={state} />
          {STATE_NAMES[state]}
        </Fact>
        {!isPast && (
          <Fact name="Heartbeat">{seenAt === null ? "Never" : <Age time={seenAt} />}</Fact>
        )}
        <Fact name="Owner">{nameOf(agent.owner_id).name}</Fact>
        <Fact name="Registered">
          <Age time={agent.created_at} />
        </Fact>
        <Fact name="Capabilities">
          {agent.capabilities.length === 0 && "None"}
          {agent.capabilities.map((capability) => (
            <Link key={capability} to="/agents" search={{ capability }}>
              <Tag>{capability}</Tag>
            </Link>
          ))}
        </Fact>
      </dl>
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt className="text-sm text-ink-3">{name}</dt>
      <dd className="flex min-h-5 flex-wrap items-center gap-1.5">{children}</dd>
    </div>
  );
}

/** What who manages agents may do with one. */
function Actions({ agent }: { agent: Agent }) {
  const client = useQueryClient();
  const [isRetiring, setIsRetiring] = useState(false);
  const [isBusy, setIsBusy] = useState(false);
  if (agent.lifecycle === "retired") return null;
  const isActive = agent.lifecycle === "active";
  const path = { params: { path: { agent_id: agent.id } } };
  const run = async (command: () => Promise<{ data?: Done }>, done: string) => {
    setIsBusy(true);
    try {
      const { position } = await body(command());
      announce(done);
      await refreshAgent(client, agent.id, position);
    } catch (error) {
      toast(problemOf(error).message, "bad");
    } finally {
      setIsBusy(false);
    }
  };
  const toggle = () =>
    isActive
      ? run(
          () => api.POST("/api/agents/{agent_id}/deactivate", path),
          `${agent.name} is deactivated`,
        )
      : run(() => api.POST("/api/agents/{agent_id}/activate", path), `${agent.name} is active`);
  const retire = async () => {
    setIsRetiring(false);
    await run(() => api.DELETE("/api/agents/{agent_id}", path), `${agent.name} is retired`);
  };
  return (
    <>
      <Button onClick={toggle} disabled={isBusy}>
        {isActive ? "Deactivate" : "Activate"}
      </Button>
      <Menu
        align="end"
        trigger={
          <IconButton label="More actions">
            <Ellipsis size={16} aria-hidden />
          </IconButton>
        }
      >
        <MenuItem onSelect={() => setIsRetiring(true)}>Retire …</MenuItem>
      </Menu>
      <Dialog
        open={isRetiring}
        onClose={() => setIsRetiring(false)}
        title={`Retire ${agent.name}?`}
      >
        <p className="text-ink-2">
          It gives back what it holds, and its keys end with it. What it did stays in the log. There
          is no way back.
        </p>
        <div className="mt-4 flex justify-end gap-2">
          <Button onClick={() => setIsRetiring(false)}>Cancel</Button>
          <Button kind="danger" onClick={retire}>
            Retire
          </Button>
        </div>
      </Dialog>
    </>
  );
}
