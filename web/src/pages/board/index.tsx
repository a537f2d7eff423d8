import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { ChevronDown } from "lucide-react";
import { Suspense, useMemo } from "react";
import { boardModel, boardsQuery, ownBoardQuery } from "@/api/queries";
import { usePainted } from "@/lib/later";
import { lazily } from "@/lib/parts";
import { cn } from "@/lib/text";
import { useLive, useOverdue } from "@/live/query";
import { useMoment } from "@/shell/moment";
import { TopBar } from "@/shell/Shell";
import { Button } from "@/ui/Button";
import { Menu, MenuItem } from "@/ui/Menu";
import { Failure, Skeleton } from "@/ui/states";
import { Board } from "./Board";
import { differences, NONE } from "./differences";
import { FilterBar } from "./FilterBar";
import { NotYet, PastBar, SinceContext } from "./past";
import { boardSearch } from "./search";
import { Welcome } from "./Welcome";

const Timeline = lazily(() => import("@/shell/Timeline"));
const MissionPanel = lazily(() => import("@/pages/mission/Panel"));

/** The board of the address, or the workspace's own. */
export default function BoardPage() {
  const { boardId } = useParams({ strict: false });
  const own = useQuery({ ...ownBoardQuery, enabled: boardId === undefined });
  const shown = boardId ?? own.data;
  const { data: boards } = useQuery(boardsQuery);
  const name = boards?.find((board) => board.id === shown)?.name ?? "Board";
  const { mission } = boardSearch(useSearch({ strict: false }));
  const navigate = useNavigate();
  return (
    <>
      <title>{`${name} · Mission Control`}</title>
      <TopBar>
        <h1 className="sr-only">{name}</h1>
        <Menu
          trigger={
            <Button
              kind="quiet"
              className="-ml-2 min-w-0 font-semibold !text-ink"
              aria-label="Switch board"
            >
              <span className="truncate">{name}</span>
              <ChevronDown size={14} aria-hidden />
            </Button>
          }
        >
          {boards?.map((board) => (
            <MenuItem
              key={board.id}
              checked={board.id === shown}
              onSelect={() => navigate({ to: "/boards/$boardId", params: { boardId: board.id } })}
            >
              {board.name}
            </MenuItem>
          ))}
        </Menu>
      </TopBar>
      <div className="flex min-h-0 flex-1">
        <main id="main" tabIndex={-1} className="flex min-w-0 flex-1 flex-col outline-none">
          {shown !== undefined ? (
            <LiveBoard boardId={shown} />
          ) : own.error !== null ? (
            <Failure error={own.error} retry={own.refetch} />
          ) : (
            <BoardSkeleton />
          )}
          {shown !== undefined && <UnderBoard boardId={shown} />}
        </main>
        {mission !== undefined && (
          <Suspense>
            <MissionPanel
              missionId={mission}
              onClose={() => void navigate({ to: ".", search: ({ mission: _, ...rest }) => rest })}
            />
          </Suspense>
        )}
      </div>
    </>
  );
}

function LiveBoard({ boardId }: { boardId: string }) {
  const { at, isPast } = useMoment();
  const now = useLive(boardModel(boardId));
  const shown = useLive(boardModel(boardId, at));
  const isOverdue = useOverdue(shown);
  const { data, error, refetch } = shown;
  const since = useMemo(
    () =>
      isPast && data && now.data
        ? {
            ...differences(data.state, now.data.state),
            ...(data.asOf ? { time: Date.parse(data.asOf) } : {}),
          }
        : NONE,
    [isPast, data, now.data],
  );
  if (error !== null && isPast) return <NotYet error={error} retry={refetch} />;
  if (data !== undefined) {
    return (
      <SinceContext value={since}>
        <FilterBar board={data.state} />
        {isPast ? <PastBar isOverdue={isOverdue} /> : <Welcome board={data.state} />}
        <div
          className={cn("transition-quick flex min-h-0 flex-1 flex-col", isOverdue && "opacity-40")}
        >
          <Board board={data.state} readOnly={isPast} />
        </div>
      </SinceContext>
    );
  }
  if (error !== null) return <Failure error={error} retry={refetch} />;
  return <BoardSkeleton />;
}

/** The timeline, whose script is asked for when there is a board over it. */
function UnderBoard({ boardId }: { boardId: string }) {
  const isPainted = usePainted();
  const empty = <div className="h-timeline shrink-0 border-t border-line" />;
  return isPainted ? (
    <Suspense fallback={empty}>
      <Timeline boardId={boardId} />
    </Suspense>
  ) : (
    empty
  );
}

function BoardSkeleton() {
  return (
    <div role="status" aria-label="Loading the board" className="flex gap-3 p-3 md:p-4">
      {[5, 3, 4, 2].map((cards) => (
        <div key={cards} className="flex w-72 shrink-0 flex-col gap-2">
          <Skeleton className="mb-1 h-5 w-28" />
          {Array.from({ length: cards }, (_, row) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: grey blocks have no other name
            <Skeleton key={row} className="h-20" />
          ))}
        </div>
      ))}
    </div>
  );
}
