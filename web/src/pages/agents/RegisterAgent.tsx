import { useState } from "react";
import { useForm } from "react-hook-form";
import { type Issued, issueKey } from "@/api/agentKeys";
import { api, body, type Done } from "@/api/client";
import type { Scope } from "@/api/fleet";
import { problemOf } from "@/api/problem";
import { useMay } from "@/api/queries";
import { repeatable } from "@/api/repeatable";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT } from "@/ui/Field";
import { Refusal } from "@/ui/Refusal";
import { ScopeBoxes } from "./issue";
import { NewKey } from "./NewKey";

type NewAgent = { name: string; role: string; capabilities: string; scopes: Scope[] };

const NAME_CHARS_MAX = 200;

/** Registers an agent, makes its first key, and shows that once. */
export function RegisterAgent({ onClose }: { onClose: () => void }) {
  const [issued, setIssued] = useState<Issued | null>(null);
  return issued === null ? (
    <Dialog open onClose={onClose} title="Register an agent">
      <AgentForm onIssued={setIssued} onClose={onClose} />
    </Dialog>
  ) : (
    <NewKey issued={issued} onClose={onClose} />
  );
}

function AgentForm({
  onIssued,
  onClose,
}: {
  onIssued: (issued: Issued) => void;
  onClose: () => void;
}) {
  const mayCreate = useMay("create_missions");
  const [refusal, setRefusal] = useState<string | null>(null);
  const [once] = useState(repeatable);
  // Where only the key failed, the agent is there: trying again makes the key, and no second agent.
  const [agentId, setAgentId] = useState<string | null>(null);
  const { register, handleSubmit, formState, setError } = useForm<NewAgent>({
    defaultValues: {
      name: "",
      role: "",
      capabilities: "",
      scopes: ["missions:read", "missions:work", "comments:write"],
    },
  });
  const { errors, isSubmitting } = formState;
  const submit = handleSubmit(async ({ name, role, capabilities, scopes }) => {
    setRefusal(null);
    try {
      const agent = { name: name.trim(), role: role.trim(), capabilities: words(capabilities) };
      const added = () =>
        once(agent, (headers) => body<Done>(api.POST("/api/agents", { headers, body: agent })));
      const id = agentId ?? (await added()).id;
      setAgentId(id);
      onIssued(await issueKey({ id, name: name.trim() }, "first", scopes));
    } catch (error) {
      const { field, message } = problemOf(error);
      if (field === "name" || field === "role" || field === "capabilities") {
        setError(field, { message }, { shouldFocus: true });
      } else setRefusal(message);
    }
  });
  return (
    <form onSubmit={submit} noValidate className="flex flex-col gap-4">
      <Field label="Name" error={errors.name?.message}>
        <input
          type="text"
          autoComplete="off"
          className={INPUT}
          {...register("name", {
            validate: (name) => name.trim() !== "" || "A name, please.",
            maxLength: { value: NAME_CHARS_MAX, message: "At most 200 characters." },
          })}
        />
      </Field>
      <Field label="Role" hint="What it is for, in a few words." error={errors.role?.message}>
        <input
          type="text"
          autoComplete="off"
          className={INPUT}
          {...register("role", {
            maxLength: { value: NAME_CHARS_MAX, message: "At most 200 characters." },
          })}
        />
      </Field>
      <Field
        label="Capabilities"
        hint="Words with commas between. It is given missions that ask for no others."
        error={errors.capabilities?.message}
      >
        <input
          type="text"
          autoComplete="off"
          placeholder="code, review"
          className={INPUT}
          {...register("capabilities")}
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
          {isSubmitting ? "Registering" : "Register"}
        </Button>
      </div>
    </form>
  );
}

/** Returns the words between commas, each once. */
export function words(text: string): string[] {
  return [
    ...new Set(
      text
        .split(",")
        .map((word) => word.trim())
        .filter(Boolean),
    ),
  ];
}
