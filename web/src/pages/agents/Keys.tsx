import { useQueryClient } from "@tanstack/react-query";
import { KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import { useForm } from "react-hook-form";
import { type Issued, issueKey } from "@/api/agentKeys";
import { api, body, type Done } from "@/api/client";
import { type AgentKey, refreshAgent, type Scope } from "@/api/fleet";
import { problemOf } from "@/api/problem";
import { useMay } from "@/api/queries";
import { day } from "@/lib/time";
import type { Agent } from "@/models/types";
import { announce, toast } from "@/ui/announce";
import { Button } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT, SHORT_CHARS_MAX } from "@/ui/Field";
import { Panel } from "@/ui/Panel";
import { Refusal } from "@/ui/Refusal";
import { ScopeBoxes, scopesInWords } from "./issue";
import { NewKey } from "./NewKey";

/** The keys by which an agent comes; new ones are made here, and old ones revoked. */
export function Keys({ agent, keys }: { agent: Agent; keys: readonly AgentKey[] }) {
  const client = useQueryClient();
  const [isMaking, setIsMaking] = useState(false);
  const [issued, setIssued] = useState<Issued | null>(null);
  const [revoking, setRevoking] = useState<AgentKey | null>(null);
  const changed = (position: number) =>
    refreshAgent(client, agent.id, position).catch((error) =>
      toast(problemOf(error).message, "bad"),
    );
  const made = (key: Issued) => {
    setIsMaking(false);
    setIssued(key);
    void changed(key.position);
  };
  const revoke = async (key: AgentKey) => {
    const path = { agent_id: agent.id, key_id: key.id };
    const { position } = await body<Done>(
      api.DELETE("/api/agents/{agent_id}/keys/{key_id}", { params: { path } }),
    );
    announce(`Revoked ${key.name}`);
    void changed(position);
  };
  return (
    <Panel
      title="Keys"
      action={
        agent.lifecycle !== "retired" && (
          <Button kind="quiet" onClick={() => setIsMaking(true)}>
            <Plus size={14} aria-hidden />
            New key
          </Button>
        )
      }
    >
      {keys.length === 0 && <p className="text-ink-3">No key: it can't come in.</p>}
      <ul className="flex flex-col gap-1">
        {keys.map((key) => (
          <li key={key.id} className="flex items-center gap-2.5">
            <KeyRound size={14} aria-hidden className="shrink-0 text-ink-3" />
            <div className="min-w-0 flex-1">
              <p className="flex items-baseline gap-1.5">
                <span className="truncate">{key.name}</span>
                <span className="shrink-0 text-sm text-ink-3">since {day(key.issued_at)}</span>
              </p>
              <p className="text-sm text-ink-3">{scopesInWords(key.scopes)}</p>
            </div>
            <Button kind="quiet" aria-label={`Revoke ${key.name}`} onClick={() => setRevoking(key)}>
              Revoke
            </Button>
          </li>
        ))}
      </ul>
      <Dialog open={isMaking} onClose={() => setIsMaking(false)} title={`New key of ${agent.name}`}>
        <KeyForm agent={agent} onIssued={made} onClose={() => setIsMaking(false)} />
      </Dialog>
      {issued !== null && <NewKey issued={issued} onClose={() => setIssued(null)} />}
      {revoking !== null && (
        <Confirm
          title={`Revoke ${revoking.name}?`}
          verb="Revoke"
          keep="Cancel"
          run={() => revoke(revoking)}
          onClose={() => setRevoking(null)}
        >
          Whatever uses this key is signed out at once. There is no way back.
        </Confirm>
      )}
    </Panel>
  );
}

type Wanted = { name: string; scopes: Scope[] };

function KeyForm({
  agent,
  onIssued,
  onClose,
}: {
  agent: Agent;
  onIssued: (issued: Issued) => void;
  onClose: () => void;
}) {
  const mayCreate = useMay("create_missions");
  const [refusal, setRefusal] = useState<string | null>(null);
  const { register, handleSubmit, formState } = useForm<Wanted>({
    defaultValues: { name: "", scopes: ["missions:read", "missions:work", "comments:write"] },
  });
  const { errors, isSubmitting } = formState;
  const submit = handleSubmit(async ({ name, scopes }) => {
    setRefusal(null);
    try {
      onIssued(await issueKey(agent, name.trim(), scopes));
    } catch (error) {
      setRefusal(problemOf(error).message);
    }
  });
  return (
    <form onSubmit={submit} noValidate className="flex flex-col gap-4">
      <Field label="Name" hint="Where it is used." error={errors.name?.message}>
        <input
          type="text"
          autoComplete="off"
          maxLength={SHORT_CHARS_MAX}
          className={INPUT}
          {...register("name", { validate: (name) => name.trim() !== "" || "A name, please." })}
        />
      </Field>
      <ScopeBoxes
        mayCreate={mayCreate}
        error={errors.scopes?.message}
        register={register("scopes", {
          validate: (scopes) => scopes.length > 0 || "A key needs at least one right.",
        })}
      />
      {refusal !== null && <Refusal>{refusal}</Refusal>}
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" kind="primary" disabled={isSubmitting}>
          Make the key
        </Button>
      </div>
    </form>
  );
}
