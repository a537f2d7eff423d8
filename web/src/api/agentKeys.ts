import { api, body, type Done } from "./client";
import { SCOPES, type Scope } from "./fleet";
import { problemOf } from "./problem";
import { repeatable } from "./repeatable";

/** A key that was just made: the only time that it is known. */
export type Issued = { agentId: string; name: string; key: string; position: number };

/** Returns what a key may be made for: nobody grants what they may not do themselves, so they are not offered it. */
export const grantable = (mayCreate: boolean): Scope[] =>
  SCOPES.filter((scope) => mayCreate || scope !== "missions:create");

/** Not of a dialog: who closed it without an answer, and opens it again, may want the same key. */
const issueOnce = repeatable();

/**
 * Makes a key for an agent and returns it. One that was made without an answer is asked for again, and is not shown
 * a second time: it is taken back, as nobody has it, and another one made.
 */
export async function issueKey(
  agent: { id: string; name: string },
  keyName: string,
  scopes: Scope[],
): Promise<Issued> {
  const wanted = { params: { path: { agent_id: agent.id } }, body: { name: keyName, scopes } };
  const make = () =>
    issueOnce(wanted, (headers) =>
      body<Done & { key: string }>(api.POST("/api/agents/{agent_id}/keys", { ...wanted, headers })),
    );
  const { key, position } = await make().catch(async (error) => {
    const { code, id } = problemOf(error);
    if (code !== "secret_shown_once" || id === undefined) throw error;
    const path = { agent_id: agent.id, key_id: id };
    await api.DELETE("/api/agents/{agent_id}/keys/{key_id}", { params: { path } });
    return make();
  });
  return { agentId: agent.id, name: agent.name, key, position };
}
