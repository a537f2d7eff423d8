import { useQuery } from "@tanstack/react-query";
import { agentsModel, boardsQuery } from "@/api/queries";
import { useLive } from "@/live/query";
import type { Filter } from "./address";

const KNOWN: Record<string, string> = {
  mission: "Missions",
  comment: "Comments",
  activity: "Agent activity",
  backlog: "Backlog",
  ready: "Ready",
  active: "Active",
  review: "Review",
  done: "Done",
  urgent: "Urgent",
  high: "High",
  normal: "Normal",
  low: "Low",
};

/** Returns what the words of a facet are called: boards and agents have names. */
export function useFacetNames(): (filter: Filter, value: string) => string {
  const { data: boards } = useQuery(boardsQuery);
  const agents = useLive(agentsModel).data?.state;
  return (filter, value) => {
    if (filter === "board") return boards?.find(({ id }) => id === value)?.name ?? "A board";
    if (filter === "agent") return agents?.get(value)?.name ?? "An agent";
    return filter === "label" ? value : (KNOWN[value] ?? value);
  };
}
