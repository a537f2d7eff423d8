import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Bot, ChevronRight, KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import { useForm } from "react-hook-form";
import { grantable, type Issued, issueKey } from "@/api/agentKeys";
import { api, body, type Done } from "@/api/client";
import type { Scope } from "@/api/fleet";
import { problemOf } from "@/api/problem";
import { agentsModel, meQuery, useDirectory, useMay } from "@/api/queries";
import { cn } from "@/lib/text";
import { absolute, relative } from "@/lib/time";
import { useLive } from "@/live/query";
import type { Agent, Schemas } from "@/models/types";
import { Button } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT, SHORT_CHARS_MAX } from "@/ui/Field";
import { Avatar, Tag } from "@/ui/marks";
import { Refusal } from "@/ui/Refusal";
import { Empty, Failure, Loading, Skeleton } from "@/ui/states";
import { NEW } from "@/ui/useNew";
import { SecretDialog } from "./Secret";
import { Section } from "./Section";

type AgentKey = Schemas["AgentKey"];

const SCOPE_WORDS: Record<Scope, string> = {
  "missions:read": "Read missions, boards and agents",
  "missions:work": "Claim missions and work on them",
  "comments:write": "Write comments",
  "missions:create": "Create, edit and move missions",
};
const USUAL: Scope[] = ["missions:read", "missions:work", "comments:write"];

const keysKey = (agentId: string) => ["agent-keys", agentId];

/** The keys by which agents sign in, one's own agents first. */
export default function KeysSection() {
  const may = useMay("manage_agents");
  return (
    <Section
      of="/settings/keys"
      about="Agents sign in with keys. A key is shown when it is made, and never again; an agent can have several, so that one can be replaced without a pause."
    >
      {may && <KeyList />}
    </Section>
  );
}

function KeyList() {
  const { data, error, refetch } = useLive(agentsModel);
  const { data: me } = useQuery(meQuery);
  const [made, setMade] = useState<{ agent: string; key: string } | null>(null);
  if (error !== null) return <Failure error={error} retry={refetch} />;
  if (data === undefined) return <Loading label="Loading keys" />;
  const agents = [...data.state.values()]
    .filter(({ lifecycle }) => lifecycle !== "retired")
    .sort((a, b) => a.name.localeCompare(b.name));
  const own = agents.filter(({ owner_id }) => owner_id === me?.id);
  const others = agents.filter(({ owner_id }) => owner_id !== me?.id);
  if (agents.length === 0) {
    return (
      <Empty
        icon={KeyRound}
        title="No agents yet"
        action={
          <Link to="/agents" hash={NEW} className="font-medium text-accent">
            Register an agent
          </Link>
        }
      >
        A key belongs to an agent. The first one comes with it.
      </Empty>
    );
  }
  const onMade = (agent: string) => (key: string) => setMade({ agent, key });
  return (
    <>
      <Group title="Of your agents" agents={own} onMade={onMade} isOpen={own.length <= 3} />
      <Group title={own.length > 0 ? "Of other agents" : ""} agents={others} onMade={onMade} />
      {made !== null && (
        <SecretDialog
          title={`A key for ${made.agent}`}
          what="key"
          secret={made.key}
          onClose={() => setMade(null)}
        >
          Put it where the agent reads it: it goes into the header “Authorization: Bearer …”.
        </SecretDialog>
      )}
    </>
  );
}

function Group({
  title,
  agents,
  onMade,
  isOpen = false,
}: {
  title: string;
  agents: Agent[];
  onMade: (agent: string) => (key: string) => void;
  isOpen?: boolean;
}) {
  if (agents.length === 0) return null;
  return (
    <section className="flex flex-col gap-2">
      {title !== "" && <h3 className="text-sm font-medium text-ink-3">{title}</h3>}
      <ul className="rounded-lg border border-line bg-surface">
        {agents.map((agent) => (
          <AgentRow key={agent.id} agent={agent} startsOpen={isOpen} onMade={onMade(agent.name)} />
        ))}
      </ul>
    </section>
  );
}

function AgentRow({
  agent,
  startsOpen,
  onMade,
}: {
  agent: Agent;
  startsOpen: boolean;
  onMade: (key: string) => void;
}) {
  const [isOpen, setOpen] = useState(startsOpen);
  const nameOf = useDirectory();
  return (
    <li className="border-b border-line last:border-0">
      <button
        type="button"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
        className="transition-quick flex min-h-12 w-full items-center gap-3 px-3 py-2 text-left -outline-offset-2 hover:bg-hover md:px-4"
      >
        <ChevronRight
          size={14}
          aria-hidden
          className={cn("shrink-0 text-ink-3", isOpen && "rotate-90")}
        />
        <Avatar who={{ id: agent.id, name: agent.name, kind: "agent" }} />
        <span className="min-w-0 flex-1 truncate">
          <span className="font-medium">{agent.name}</span>
          <span className="ml-2 text-sm text-ink-3 max-sm:hidden">{agent.role}</span>
        </span>
        <span className="shrink-0 text-sm text-ink-3">{nameOf(agent.owner_id).name}</span>
      </button>
      {isOpen && <Keys agent={agent} onMade={onMade} />}
    </li>
  );
}

function Keys({ agent, onMade }: { agent: Agent; onMade: (key: string) => void }) {
  const { data, error, refetch } = useQuery({
    queryKey: keysKey(agent.id),
    queryFn: async ({ signal }) =>
      (
        await body(
          api.GET("/api/agents/{agent_id}", { params: { path: { agent_id: agent.id } }, signal }),
        )
      ).keys ?? [],
  });
  const [isAdding, setAdding] = useState(false);
  const [revoking, setRevoking] = useState<AgentKey | null>(null);
  const refresh = useRefresh(agent.id);
  if (error !== null) return <Failure error={error} retry={refetch} />;
  return (
    <div className="flex flex-col gap-1 px-3 pt-1 pb-3 md:pl-11">
      {data === undefined && <Skeleton className="h-8" />}
      {data?.map((key) => (
        <div
          key={key.id}
          className="flex min-h-10 flex-wrap items-center gap-x-3 gap-y-1 rounded-md border border-line bg-raised px-3 py-1.5"
        >
          <KeyRound size={14} aria-hidden className="text-ink-3" />
          <span className="min-w-0 truncate font-medium max-sm:flex-1">{key.name}</span>
          <span className="flex min-w-0 flex-1 flex-wrap gap-1 max-sm:order-last max-sm:basis-full">
            {key.scopes.map((scope) => (
              <Tag key={scope}>{scope}</Tag>
            ))}
          </span>
          <span className="text-sm text-ink-3" title={absolute(key.issued_at)}>
            {relative(key.issued_at)}
          </span>
          <Button
            kind="quiet"
            className="-mr-2 h-7 px-2 text-sm"
            aria-label={`Revoke ${key.name} of ${agent.name}`}
            onClick={() => setRevoking(key)}
          >
            Revoke
          </Button>
        </div>
      ))}
      {data?.length === 0 && (
        <p className="py-2 text-ink-3">No key is in force: {agent.name} can't sign in.</p>
      )}
      <Button
        kind="quiet"
        className="self-start"
        aria-label={`Make a key for ${agent.name}`}
        onClick={() => setAdding(true)}
      >
        <Plus size={14} aria-hidden />
        Make a key
      </Button>
      {isAdding && (
        <MakeKey
          agent={agent}
          onClose={() => setAdding(false)}
          onMade={async (done) => {
            setAdding(false);
            onMade(done.key);
            await refresh(done.position);
          }}
        />
      )}
      {revoking !== null && (
        <Confirm
          title={`Revoke “${revoking.name}”?`}
          verb="Revoke"
          run={async () => {
            const path = { agent_id: agent.id, key_id: revoking.id };
            const done = await body<Done>(
              api.DELETE("/api/agents/{agent_id}/keys/{key_id}", { params: { path } }),
            );
            await refresh(done.position);
          }}
          onClose={() => setRevoking(null)}
        >
          {`Whatever runs with it as ${agent.name} is refused from now on.`}
        </Confirm>
      )}
    </div>
  );
}

/** Returns how to read an agent's keys again, as they are from a position on. */
function useRefresh(agentId: string): (position: number) => Promise<void> {
  const client = useQueryClient();
  return async (position) => {
    const params = { path: { agent_id: agentId }, query: { min_position: position } };
    const found = await body(api.GET("/api/agents/{agent_id}", { params }));
    client.setQueryData(keysKey(agentId), found.keys ?? []);
  };
}

type NewKey = { name: string; scopes: Scope[] };

function MakeKey({
  agent,
  onClose,
  onMade,
}: {
  agent: Agent;
  onClose: () => void;
  onMade: (issued: Issued) => Promise<void>;
}) {
  const [refusal, setRefusal] = useState<string | null>(null);
  const mayCreate = useMay("create_missions");
  const { register, handleSubmit, formState } = useForm<NewKey>({
    defaultValues: { name: "", scopes: USUAL },
  });
  const { errors, isSubmitting } = formState;
  const submit = handleSubmit(async (key) => {
    setRefusal(null);
    try {
      await onMade(await issueKey(agent, key.name, key.scopes));
    } catch (error) {
      setRefusal(problemOf(error).message);
    }
  });
  return (
    <Dialog open onClose={onClose} title={`Make a key for ${agent.name}`}>
      <form onSubmit={submit} noValidate autoComplete="off" className="flex flex-col gap-4">
        <Field label="Name" hint="Where it will be used." error={errors.name?.message}>
          <input
            maxLength={SHORT_CHARS_MAX}
            placeholder="laptop"
            className={INPUT}
            {...register("name", { required: "A name, please." })}
          />
        </Field>
        <fieldset>
          <legend className="mb-1.5 font-medium">What it may do</legend>
          {grantable(mayCreate).map((scope) => (
            <label key={scope} className="flex gap-2.5 rounded-md px-2 py-1.5 hover:bg-hover">
              <input
                type="checkbox"
                value={scope}
                className="mt-1 accent-accent"
                {...register("scopes", { required: "One at least, please." })}
              />
              <span>
                {SCOPE_WORDS[scope]}
                <span className="block font-mono text-sm text-ink-3">{scope}</span>
              </span>
            </label>
          ))}
          {errors.scopes !== undefined && (
            <p className="mt-1 text-sm text-bad">{errors.scopes.message}</p>
          )}
        </fieldset>
        <p className="flex items-center gap-2 text-sm text-ink-3">
          <Bot size={14} aria-hidden className="shrink-0" />
          It never may do more than the person whose agent it is.
        </p>
        {refusal !== null && <Refusal className="mt-3">{refusal}</Refusal>}
        <Button type="submit" kind="primary" disabled={isSubmitting} className="self-end">
          {isSubmitting ? "Making" : "Make, and show it"}
        </Button>
      </form>
    </Dialog>
  );
}
