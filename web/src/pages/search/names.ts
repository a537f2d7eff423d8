import { useQuery } from "@tanstack/react-query";
import { agentsModel, boardsQuery } from "@/api/queries";
import { useLive } from "@/live/query";
import type { Filter } from "./address";

/** Returns what the words of a facet are called: boards and agents have names. */
export function useFacetNames(): (filter: Filter, value: string) => string {
  const { data: boards } = useQuery(boardsQuery);
  const agents = useLive(agentsModel).data?.state;
  return (filter, value) => {
    if (filter === "board") return boards?.find(({ id }) => id === value)?.name ?? "A board";
    if (filter === "agent") return agents?.get(value)?.name ?? "An agent";
    return value;
  };
}
