import { useQuery } from "@tanstack/react-query";
import { Ban, History, Trash2, Undo2 } from "lucide-react";
import { type ReactNode, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { problemOf } from "@/api/problem";
import { boardsQuery, meQuery, useDirectory } from "@/api/queries";
import { usePainted } from "@/lib/later";
import { plainText } from "@/lib/markdown";
import { lazily } from "@/lib/parts";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import type { Mission } from "@/models/types";
import { useMoment } from "@/shell/moment";
import { Button } from "@/ui/Button";
import { useFocusKept } from "@/ui/focus";
import { Empty, Failure, Skeleton } from "@/ui/states";
import { unblock, useClash } from "./commands";
import { MissionContext, useMission } from "./context";
import { Description, Title } from "./Description";
import { Lease } from "./Lease";
import { type MissionDocument, missionModel } from "./model";
import { Properties } from "./Properties";
import { Review } from "./Review";
import type { Tab } from "./Tabs";

const Below = lazily(() => import("./Below"));
const MergeDialog = lazily(() => import("./MergeDialog"));

/** A mission under a bar. While there is none, or no more, the bar stands over the words that say so. */
export function MissionFrame({
  missionId,
  bar,
}: {
  missionId: string;
  bar: (mission: Mission | undefined) => React.ReactNode;
}) {
  const { at: asOf } = useMoment();
  const { data, error, refetch } = useLive(missionModel(missionId, asOf));
  const { data: me } = useQuery(meQuery);
  const { data: boards } = useQuery(boardsQuery);
  const nameOf = useDirectory();
  const mission = data?.state ?? undefined;
  const columns = boards?.find(({ id }) => id === mission?.board_id)?.columns ?? NONE;
  const view = useMemo(
    () =>
      mission === undefined
        ? null
        : {
            mission,
            me,
            columns,
            nameOf,
            mayEdit: asOf === undefined && me?.permissions.includes("create_missions") === true,
            mayComment: asOf === undefined && me?.permissions.includes("comment") === true,
            asOf,
            asOfTime: (mission as MissionDocument).as_of ?? undefined,
          },
    [mission, me, columns, nameOf, asOf],
  );
  // While a timeline is scrubbed, the moment before is shown until the next one is there.
  const last = useRef(view);
  if (view !== null) last.current = view;
  const isBetween = view === null && error === null && data === undefined;
  const shown = isBetween && last.current?.mission.id === missionId ? last.current : view;
  if (shown === null) {
    return (
      <>
        {bar(undefined)}
        {data?.state === null ? (
          <Empty icon={Trash2} title="Cancelled">
            This mission was taken off its board. Its events stay in the log.
          </Empty>
        ) : error !== null && asOf !== undefined && problemOf(error).status === 404 ? (
          <Empty icon={History} title="Not there at this moment">
            The mission was created later, or cancelled before.
          </Empty>
        ) : error !== null ? (
          <Failure error={error} retry={refetch} />
        ) : (
          <MissionSkeleton />
        )}
      </>
    );
  }
  return (
    <MissionContext value={shown}>
      {bar(shown.mission)}
      {/* Anew when it is known who looks at it: what they were writing is theirs. */}
      <MissionBody key={`${shown.mission.id} ${shown.me?.id}`} />
    </MissionContext>
  );
}

const NONE: never[] = [];

/** All of a mission under its bar. In a wide place its properties are beside it, in a narrow one on top. */
function MissionBody() {
  const { mission, mayEdit, asOf } = useMission();
  const part = useFocusKept<HTMLDivElement>();
  const isPainted = usePainted();
  const [tab, setTab] = useState<Tab>(hasHistoryHash() ? "history" : "comments");
  return (
    <div ref={part} className="@container min-h-0 flex-1 overflow-y-auto">
      <div className="mx-auto grid max-w-6xl grid-cols-1 gap-x-10 gap-y-5 px-4 py-5 @3xl:grid-cols-[minmax(0,1fr)_17rem] @3xl:grid-rows-[auto_1fr] @3xl:px-8 @3xl:py-7">
        <div className="flex min-w-0 flex-col gap-3">
          {asOf !== undefined && (
            <p className="text-sm text-past">As it was at this moment. Nothing can be changed.</p>
          )}
          <Title />
          {mission.blocked_reason !== null && (
            <Notice
              title="Blocked"
              reason={mission.blocked_reason}
              icon={<Ban size={15} aria-hidden className="mt-0.5 shrink-0 text-bad" />}
              className="border-bad bg-bad-soft"
            >
              {mayEdit && <Button onClick={() => void unblock(mission)}>Unblock</Button>}
            </Notice>
          )}
          {mission.sent_back_reason !== null && (
            <Notice
              title="Sent back"
              reason={mission.sent_back_reason}
              icon={<Undo2 size={15} aria-hidden className="mt-0.5 shrink-0 text-warn" />}
              className="border-line-strong bg-raised"
            />
          )}
          <Lease />
          <Review />
        </div>
        <section
          aria-label="Properties"
          className="min-w-0 @3xl:col-start-2 @3xl:row-span-2 @3xl:row-start-1"
        >
          <Properties />
        </section>
        <div className="flex min-w-0 flex-col gap-6">
          <Description />
          {isPainted && (
            <Suspense>
              <Below tab={tab} onTab={setTab} />
            </Suspense>
          )}
        </div>
      </div>
      <Suspense>
        <Clash />
      </Suspense>
    </div>
  );
}

/** Why a mission does not simply go on, and what may be done about it. */
function Notice({
  title,
  reason,
  icon,
  className,
  children,
}: {
  title: string;
  reason: string;
  icon: ReactNode;
  className: string;
  children?: ReactNode;
}) {
  return (
    <div className={cn("flex items-start gap-2.5 rounded-md border px-3 py-2", className)}>
      {icon}
      <div className="min-w-0 flex-1 wrap-anywhere">
        <p className="font-medium">{title}</p>
        <p className="text-ink-2">{plainText(reason)}</p>
      </div>
      {children}
    </div>
  );
}

function Clash() {
  const { mission } = useMission();
  const clash = useClash(({ clash }) => clash);
  useEffect(() => {
    useClash.setState({ shown: mission.id });
    return () => {
      useClash.setState({ shown: null });
      // Whoever goes elsewhere has decided nothing: what they wrote is in its field when they come back.
      useClash.getState().clash?.decide("write");
    };
  }, [mission.id]);
  return clash?.theirs.id !== mission.id ? null : <MergeDialog clash={clash} />;
}

/** A link to an event, `#event-…`, opens the history. */
const hasHistoryHash = () => window.location.hash.startsWith("#event-");

function MissionSkeleton() {
  return (
    <div role="status" aria-label="Loading the mission" className="flex flex-col gap-4 px-4 py-5">
      <Skeleton className="h-7 w-3/4" />
      <Skeleton className="h-28 w-full" />
      <Skeleton className="h-5 w-1/2" />
      <Skeleton className="h-5 w-2/3" />
      <Skeleton className="h-40 w-full" />
    </div>
  );
}
