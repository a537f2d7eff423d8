import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { api, body } from "@/api/client";
import { membersModel, meQuery } from "@/api/queries";
import { useLive } from "@/live/query";
import type { Role } from "@/models/types";
import { toast } from "@/ui/announce";

const AS: Record<Role, string> = {
  viewer: "a viewer",
  agent_operator: "an agent operator",
  mission_commander: "a mission commander",
  admin: "an admin",
};

/**
 * Follows the role of the person who is signed in: when an event gives them another one, asks again what they may do,
 * and says so. It draws nothing, as it hears of every event of the workspace.
 */
export function OwnRole() {
  const client = useQueryClient();
  const { data: me } = useQuery(meQuery);
  const { data: members } = useLive(membersModel);
  const told = me && members?.state.get(me.id)?.role;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each role; the position only goes with it
  useEffect(() => {
    if (told !== undefined && told !== me?.role) void askAgain(client, members?.position ?? 0);
  }, [client, told, me?.role]);
  const before = useRef(me);
  useEffect(() => {
    const was = before.current;
    before.current = me;
    if (was === undefined || me === undefined || was.id !== me.id || was.role === me.role) return;
    toast(`You are ${AS[me.role]} now`);
    // What was refused to the role before may be given to this one.
    void client.resetQueries({ predicate: ({ state }) => state.status === "error" });
  }, [client, me]);
  return null;
}

/** Asks who is signed in, as of an event: an answer from before it would be the last for a minute. */
async function askAgain(client: QueryClient, position: number): Promise<void> {
  const { queryKey } = meQuery;
  await client.cancelQueries({ queryKey });
  try {
    const params = { query: { min_position: position } };
    client.setQueryData(queryKey, await body(api.GET("/api/members/me", { params })));
  } catch {
    await client.invalidateQueries({ queryKey });
  }
}
