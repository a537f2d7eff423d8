import { Link } from "@tanstack/react-router";
import { agentsModel } from "@/api/queries";
import { usePainted } from "@/lib/later";
import { plainText } from "@/lib/markdown";
import { useLive } from "@/live/query";
import { Ago } from "@/ui/Ago";
import { Button } from "@/ui/Button";
import { Avatar } from "@/ui/marks";
import { moveTo } from "./commands";
import { useMission } from "./context";
import { timelineModel } from "./model";

/** Who works on the mission under a lease, how far it is, and when something was last heard. */
export function Lease() {
  const { mission, nameOf, columns, mayEdit, asOf } = useMission();
  // Only of when it was claimed.
  const timeline = useLive(timelineModel(mission.id), usePainted()).data?.state;
  const agents = useLive(agentsModel).data?.state;
  if (mission.holder === null) return null;
  const who = nameOf(mission.holder);
  const claimed = timeline?.happenings.find(({ type }) => type === "mission.claimed.v1");
  const seenAt = asOf === undefined ? agents?.get(mission.holder)?.seen_at : null;
  const ready = columns.find(({ stage }) => stage === "ready");
  return (
    <section
      aria-label="Lease"
      className="flex flex-col gap-2 rounded-md border border-line bg-raised px-3 py-2.5"
    >
      <div className="flex flex-wrap items-center gap-x-2 gap-y-1">
        <Avatar who={who} working />
        <p className="min-w-0">
          <Link
            to="/agents/$agentId"
            params={{ agentId: who.id }}
            className="font-medium hover:underline"
          >
            {who.name}
          </Link>{" "}
          <span className="text-ink-2">is on it</span>
        </p>
        <p className="text-sm text-ink-3">
          {claimed !== undefined && asOf === undefined && (
            <>
              claimed <Ago time={claimed.recorded_at} />
            </>
          )}
          {seenAt && (
            <>
              {" · heartbeat "}
              <Ago time={seenAt} />
            </>
          )}
        </p>
      </div>
      <div className="flex items-center gap-2.5">
        <progress
          aria-label="Progress"
          value={mission.progress_percent}
          max={100}
          className="mc-progress h-1.5 flex-1"
        />
        <span className="tabular text-sm text-ink-2">{mission.progress_percent}%</span>
      </div>
      <div className="flex items-center gap-2">
        <p aria-live="polite" className="min-w-0 flex-1 text-ink-2 wrap-anywhere">
          {mission.progress_note !== null && plainText(mission.progress_note)}
        </p>
        {mayEdit && ready !== undefined && (
          <Button
            kind="quiet"
            className="-my-1 -mr-2"
            title={`Ends the lease: the mission goes to ${ready.name} for others to claim`}
            onClick={() => void moveTo(mission, ready)}
          >
            Take back
          </Button>
        )}
      </div>
    </section>
  );
}
