import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { activityQuery } from "@/api/fleet";
import { useDirectory } from "@/api/queries";
import { plainText } from "@/lib/markdown";
import { type ActivityItem, worthTelling } from "@/models/activity";
import { Age } from "@/ui/Age";
import { Panel } from "@/ui/Panel";
import { Failure, Skeleton } from "@/ui/states";

const SHOWN = 20;

/** What happened, by the event's type; what is not here reads as its type. */
const VERBS: Record<string, string> = {
  "mission.claimed.v1": "claimed",
  "mission.progressed.v1": "went on with",
  "mission.submitted.v1": "submitted",
  "mission.released.v1": "gave back",
  "mission.failed.v1": "failed at",
  "mission.lease_expired.v1": "lost the lease of",
  "mission.approved.v1": "approved",
  "mission.rejected.v1": "rejected",
  "mission.created.v1": "created",
  "mission.blocked.v1": "blocked",
  "mission.unblocked.v1": "unblocked",
  "comment.added.v1": "commented on",
  "agent.registered.v1": "registered it",
  "agent.updated.v1": "changed its description",
  "agent.activated.v1": "activated it",
  "agent.deactivated.v1": "deactivated it",
  "agent.retired.v1": "retired it",
  "agent.key_issued.v1": "made a key",
  "agent.key_revoked.v1": "revoked a key",
  "agent.came_online.v1": "came online",
  "agent.went_offline.v1": "went offline",
};

/** An agent's newest events. */
export function Recent({ agentId }: { agentId: string }) {
  const { data, error, refetch } = useQuery(activityQuery(agentId));
  const told = useMemo(() => data && worthTelling(data.items), [data]);
  return (
    <Panel title="Recent activity">
      {data === undefined && error !== null && <Failure error={error} retry={refetch} />}
      {data === undefined && error === null && <Skeleton className="h-40" />}
      {told?.length === 0 && <p className="text-ink-3">Nothing in the last two weeks.</p>}
      <ol className="flex flex-col gap-2.5">
        {told?.slice(0, SHOWN).map((item) => (
          <Item key={item.id} item={item} agentId={agentId} />
        ))}
      </ol>
    </Panel>
  );
}

function Item({ item, agentId }: { item: ActivityItem; agentId: string }) {
  const nameOf = useDirectory();
  const { type, actor_id, actor_kind, mission_id, details } = item;
  const isOther = actor_id !== agentId && actor_kind !== "system";
  return (
    <li className="flex gap-2">
      <div className="min-w-0 flex-1">
        <p className="break-words">
          <span className="text-ink-2">
            {isOther && `${nameOf(actor_id).name} `}
            {VERBS[type] ?? inWords(type)}
          </span>{" "}
          {mission_id !== null && (
            <Link
              to="/missions/$missionId"
              params={{ missionId: mission_id }}
              className="hover:underline"
            >
              {item.mission_title ?? "a mission"}
            </Link>
          )}
          {details.percent !== null && (
            <span className="tabular text-ink-3"> {details.percent}%</span>
          )}
        </p>
        {details.text !== null && (
          <p className="line-clamp-2 text-sm text-ink-3">{plainText(details.text)}</p>
        )}
      </div>
      <Age time={item.recorded_at} className="shrink-0 text-sm text-ink-3" />
    </li>
  );
}

/** "mission.dependency_added.v1": "dependency added". */
function inWords(type: string): string {
  return (type.split(".")[1] ?? type).replaceAll("_", " ");
}
