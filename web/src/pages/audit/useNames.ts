import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { boardsQuery, meQuery, useDirectory } from "@/api/queries";
import type { At } from "@/live/query";
import type { BoardState } from "@/models/board";
import type { Envelope } from "./log";
import { type NameOf, titlesIn } from "./subjects";

/**
 * Returns what ids are called: people, agents, boards, and those missions whose titles are here already, in the
 * events that are shown or on a board that was looked at. Nothing is asked for a title: a log names any number.
 */
export function useNames(events: readonly Envelope[]): NameOf {
  const nameOf = useDirectory();
  const client = useQueryClient();
  const { data: boards } = useQuery(boardsQuery);
  const { data: me } = useQuery(meQuery);
  const titles = useMemo(() => titlesIn(events), [events]);
  return useMemo(() => {
    const seen = client.getQueriesData<At<BoardState>>({ queryKey: ["board"] });
    return (id) => {
      const who = nameOf(id);
      if (who.kind !== "unknown") return who.name;
      const card = () => seen.map(([, at]) => at?.state.cards.get(id)).find(Boolean);
      return (
        titles.get(id) ??
        boards?.find((board) => board.id === id)?.name ??
        (me?.workspace.id === id ? me.workspace.name : card()?.title)
      );
    };
  }, [client, nameOf, titles, boards, me]);
}
