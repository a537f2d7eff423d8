import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Plus, X } from "lucide-react";
import { useState } from "react";
import { api, body } from "@/api/client";
import { boardModel } from "@/api/queries";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import type { Stage } from "@/models/types";
import { StageMark } from "@/ui/marks";
import { Picker } from "@/ui/Picker";
import { addDependency, removeDependency } from "./commands";
import { useMission } from "./context";
import { otherMissionQuery } from "./model";

const NODE_PX = 36;
const GAP_PX = 6;
const EDGE_PX = 32;
const SHOWN_MAX = 8;

type Node = { id: string; title: string; stage: Stage | null; isMet: boolean; isGone: boolean };

/** What a mission waits for, and what waits for it, as a small graph. */
export function Dependencies() {
  const { mission, mayEdit, asOf } = useMission();
  const board = useLive(boardModel(mission.board_id, asOf)).data?.state;
  const unmet = new Set(mission.unmet_dependencies);
  const elsewhere = mission.dependencies.filter(
    (id) => board !== undefined && !board.cards.has(id),
  );
  const others = useQueries({ queries: elsewhere.map(otherMissionQuery) });
  const before = mission.dependencies.map((id): Node => {
    const isMet = !unmet.has(id);
    const card = board?.cards.get(id);
    if (card !== undefined)
      return { id, title: card.title, stage: card.stage, isMet, isGone: false };
    const other = others[elsewhere.indexOf(id)]?.data;
    const isGone = other?.isGone ?? true;
    const stage = isMet && !isGone ? "done" : null;
    return { id, title: other?.title ?? "…", stage, isMet, isGone };
  });
  const after = [...(board?.cards.values() ?? [])]
    .filter((card) => card.dependencies.includes(mission.id))
    .map(
      ({ id, title, stage }): Node => ({
        id,
        title,
        stage,
        isMet: mission.completed,
        isGone: false,
      }),
    );
  const isEmpty = before.length === 0 && after.length === 0;
  if (isEmpty && !mayEdit) return null;
  const rows = Math.min(Math.max(before.length, after.length, 1), SHOWN_MAX);
  const height = rows * NODE_PX + (rows - 1) * GAP_PX;
  return (
    <section aria-label="Dependencies" className="flex flex-col gap-2">
      <div className="flex items-center justify-between">
        <h3 className="font-medium text-ink-2">
          {isEmpty ? "Dependencies" : heading(before, after)}
        </h3>
        {mayEdit && <AddDependency />}
      </div>
      {!isEmpty && (
        <div className="flex items-center" style={{ height }}>
          {before.length > 0 && (
            <>
              <Nodes label="Waits for" nodes={before} mayRemove={mayEdit} />
              <Edges nodes={before} height={height} towards="right" />
            </>
          )}
          <span
            title={mission.title}
            className="flex size-8 shrink-0 items-center justify-center rounded-full border border-line-strong bg-raised"
          >
            <StageMark stage={mission.stage} />
            <span className="sr-only">This mission</span>
          </span>
          {after.length > 0 && (
            <>
              <Edges nodes={after} height={height} towards="left" />
              <Nodes label="Waiting for this" nodes={after} mayRemove={false} />
            </>
          )}
        </div>
      )}
    </section>
  );
}

function heading(before: Node[], after: Node[]): string {
  const open = before.filter(({ isMet }) => !isMet).length;
  const waits = open > 0 ? `Waits for ${open}` : before.length > 0 ? "Waits for nothing more" : "";
  const holds = after.length > 0 ? `${waits === "" ? "H" : "h"}olds up ${after.length}` : "";
  return [waits, holds].filter(Boolean).join(", ");
}

function Nodes({ label, nodes, mayRemove }: { label: string; nodes: Node[]; mayRemove: boolean }) {
  const { mission } = useMission();
  const shown = nodes.slice(0, SHOWN_MAX);
  return (
    <ul aria-label={label} className="flex min-w-0 flex-1 flex-col" style={{ gap: GAP_PX }}>
      {shown.map((node, index) => (
        <li
          key={node.id}
          style={{ height: NODE_PX }}
          className={cn(
            "group relative flex items-center gap-2 rounded-md border bg-raised px-2",
            node.isMet ? "border-line" : "border-warn",
          )}
        >
          {node.stage !== null && <StageMark stage={node.stage} />}
          {node.isGone ? (
            <s
              title="Cancelled"
              className="line-clamp-2 min-w-0 flex-1 text-sm leading-tight text-ink-3"
            >
              {node.title}
            </s>
          ) : (
            <Link
              to="/missions/$missionId"
              params={{ missionId: node.id }}
              preload={false}
              title={node.title}
              className="line-clamp-2 min-w-0 flex-1 text-sm leading-tight hover:underline"
            >
              {node.title}
            </Link>
          )}
          {nodes.length > SHOWN_MAX && index === SHOWN_MAX - 1 && (
            <span className="shrink-0 text-sm text-ink-3">+{nodes.length - SHOWN_MAX}</span>
          )}
          {mayRemove && (
            <button
              type="button"
              aria-label={`No longer wait for ${node.title}`}
              title="No longer wait for this"
              onClick={() => void removeDependency(mission, node.id)}
              className="absolute right-1 inline-flex size-6 items-center justify-center rounded-sm bg-raised text-ink-3 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 hover:text-ink pointer-coarse:opacity-100"
            >
              <X size={12} aria-hidden />
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

/** Lines from every node of a side to the middle. */
function Edges({
  nodes,
  height,
  towards,
}: {
  nodes: Node[];
  height: number;
  towards: "left" | "right";
}) {
  const shown = nodes.slice(0, SHOWN_MAX);
  const own = shown.length * NODE_PX + (shown.length - 1) * GAP_PX;
  const top = (height - own) / 2;
  const middle = height / 2;
  const [far, near] = towards === "right" ? [0, EDGE_PX] : [EDGE_PX, 0];
  return (
    <svg width={EDGE_PX} height={height} aria-hidden className="shrink-0">
      {shown.map((node, index) => {
        const y = top + index * (NODE_PX + GAP_PX) + NODE_PX / 2;
        const half = EDGE_PX / 2;
        return (
          <path
            key={node.id}
            d={`M${far} ${y} C${half} ${y} ${half} ${middle} ${near} ${middle}`}
            fill="none"
            strokeWidth="1.5"
            strokeDasharray={node.isMet ? undefined : "3 3"}
            className={node.isMet ? "stroke-line-strong" : "stroke-warn"}
          />
        );
      })}
    </svg>
  );
}

type Hit = { mission_id: string; title: string | null };
const HITS = 12;

function AddDependency() {
  const { mission } = useMission();
  const [text, setText] = useState("");
  const board = useLive(boardModel(mission.board_id)).data?.state;
  const wanted = text.trim();
  const { data: hits } = useQuery<Hit[]>({
    queryKey: ["mission-hits", wanted],
    enabled: wanted !== "",
    staleTime: 10_000,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) =>
      (
        await body<{ items: Hit[] }>(
          api.GET("/api/search", {
            params: { query: { q: wanted, type: "mission", limit: HITS } },
            signal,
          }),
        )
      ).items,
  });
  const open = [...(board?.cards.values() ?? [])].filter(({ completed }) => !completed);
  const found =
    wanted === ""
      ? open.map(({ id, title }) => ({ id, text: title }))
      : (hits ?? []).map((hit) => ({ id: hit.mission_id, text: hit.title ?? "Untitled" }));
  const known = new Set([mission.id, ...mission.dependencies]);
  const choices = found
    .filter(({ id }) => !known.has(id))
    .map((choice) => {
      const stage = board?.cards.get(choice.id)?.stage;
      return stage === undefined ? choice : { ...choice, mark: <StageMark stage={stage} /> };
    });
  return (
    <Picker
      label="Wait for another mission"
      align="end"
      choices={choices}
      onQuery={setText}
      onPick={(id) => void addDependency(mission, id)}
      trigger={
        <button
          type="button"
          aria-label="Add a dependency"
          title="Let this wait for another mission"
          className="inline-flex size-7 items-center justify-center rounded-md text-ink-3 hover:bg-hover hover:text-ink"
        >
          <Plus size={14} aria-hidden />
        </button>
      }
    />
  );
}
