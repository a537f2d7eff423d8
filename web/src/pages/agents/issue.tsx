import type { UseFormRegisterReturn } from "react-hook-form";
import { api, body, type Done } from "@/api/client";
import type { Scope } from "@/api/fleet";

/** A key that was just made: the only time that it is known. */
export type Issued = { agentId: string; name: string; key: string; position: number };

const SCOPE_NAMES: Record<Scope, string> = {
  "missions:read": "Read missions",
  "missions:work": "Claim and work on missions",
  "comments:write": "Write comments",
  "missions:create": "Create missions",
};

/** Makes a key for an agent and returns it. */
export async function issueKey(
  agent: { id: string; name: string },
  keyName: string,
  scopes: Scope[],
): Promise<Issued> {
  const { key, position } = await body<Done & { key: string }>(
    api.POST("/api/agents/{agent_id}/keys", {
      params: { path: { agent_id: agent.id } },
      body: { name: keyName, scopes },
    }),
  );
  return { agentId: agent.id, name: agent.name, key, position };
}

/** Returns what scopes let somebody do, in words. */
export const scopesInWords = (scopes: readonly string[]): string =>
  scopes.map((scope) => SCOPE_NAMES[scope as Scope]?.toLowerCase() ?? scope).join(", ");

/** What a key is for. Nobody grants what they may not do themselves, so they are not offered it. */
export function ScopeBoxes({
  mayCreate,
  register,
  error,
}: {
  mayCreate: boolean;
  register: UseFormRegisterReturn;
  error?: string | undefined;
}) {
  const scopes = (Object.keys(SCOPE_NAMES) as Scope[]).filter(
    (scope) => mayCreate || scope !== "missions:create",
  );
  return (
    <fieldset className="flex flex-col gap-1">
      <legend className="mb-1.5 font-medium">The key may</legend>
      {scopes.map((scope) => (
        <label key={scope} className="flex h-7 items-center gap-2">
          <input type="checkbox" value={scope} className="size-4 accent-accent" {...register} />
          {SCOPE_NAMES[scope]}
          <code className="ml-auto font-mono text-sm text-ink-3 max-sm:hidden">{scope}</code>
        </label>
      ))}
      {error !== undefined && <p className="text-sm text-bad">{error}</p>}
    </fieldset>
  );
}
