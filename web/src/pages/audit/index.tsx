import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Download, Lock, Pause, Play, ScrollText } from "lucide-react";
import { useState } from "react";
import { problemOf } from "@/api/problem";
import { meQuery } from "@/api/queries";
import { Page } from "@/shell/Shell";
import { useShortcuts } from "@/shell/shortcuts";
import { toast } from "@/ui/announce";
import { Button } from "@/ui/Button";
import { Empty, Failure, Loading } from "@/ui/states";
import { EventPanel } from "./EventPanel";
import { FilterBar } from "./FilterBar";
import { LogSkeleton, LogTable } from "./LogTable";
import { exported, type Filters } from "./log";
import { useLog } from "./useLog";
import { useNames } from "./useNames";

/** The event log, for those who may read all of it. */
export default function AuditPage() {
  const { data: me, error, refetch } = useQuery(meQuery);
  if (error !== null && me === undefined) {
    return (
      <Page title="Audit">
        <Failure error={error} retry={refetch} />
      </Page>
    );
  }
  if (me?.permissions.includes("admin_access") === false) {
    return (
      <Page title="Audit">
        <Empty icon={Lock} title="The audit log is for admins">
          It has every event of the workspace in full, with names and addresses. An admin can give
          you the role, or export what you need. What happened to a mission is on its own page.
        </Empty>
      </Page>
    );
  }
  return me === undefined ? (
    <Page title="Audit">
      <Loading />
    </Page>
  ) : (
    <Log />
  );
}

function Log() {
  const { event, ...filters } = useSearch({ from: "/app/audit" });
  const navigate = useNavigate({ from: "/audit" });
  const [isFollowed, setFollowed] = useState(true);
  const log = useLog(filters, isFollowed);
  const nameOf = useNames(log.events);
  const isFiltered = Object.keys(filters).length > 0;
  const open = (position: number | undefined) =>
    void navigate({
      search: (now) => ({ ...now, event: position }),
      replace: event !== undefined && position !== undefined,
    });
  const set = (next: Filters) =>
    void navigate({ search: (now) => ({ event: now.event, ...next }) });
  const toggle = () => setFollowed((now) => !now);
  useShortcuts([{ keys: "p", label: "Pause or follow the log", group: "Audit", run: toggle }]);
  return (
    <Page
      title="Audit"
      actions={
        <>
          {filters.until === undefined && (
            <Button kind="quiet" onClick={toggle} aria-pressed={isFollowed}>
              {isFollowed ? <Pause size={14} aria-hidden /> : <Play size={14} aria-hidden />}
              <span className="max-sm:sr-only">{isFollowed ? "Pause" : "Follow"}</span>
            </Button>
          )}
          <Export filters={filters} />
        </>
      }
    >
      <div className="flex h-full">
        <div className="flex min-w-0 flex-1 flex-col">
          <FilterBar filters={filters} onChange={set} events={log.events} />
          {log.isPending && <LogSkeleton />}
          {log.error !== null && <Failure error={log.error} retry={log.refetch} />}
          {log.data !== undefined && log.events.length === 0 && (
            <Empty
              icon={ScrollText}
              title={isFiltered ? "No event is like that" : "Nothing happened yet"}
              action={isFiltered && <Button onClick={() => set({})}>Clear the filters</Button>}
            >
              {isFiltered
                ? "The whole log was looked through. New events that fit appear here by themselves."
                : "Every change of the workspace will be listed here."}
            </Empty>
          )}
          {log.events.length > 0 && (
            <LogTable
              key={JSON.stringify(filters)}
              events={log.events}
              nameOf={nameOf}
              arrived={log.arrived}
              open={event}
              onOpen={open}
              onEnd={() => {
                if (log.hasNextPage && !log.isFetchingNextPage) void log.fetchNextPage();
              }}
              isWhole={!log.hasNextPage}
            />
          )}
        </div>
        {event !== undefined && (
          <EventPanel
            position={event}
            nameOf={nameOf}
            onOpen={open}
            onClose={() => open(undefined)}
            onFilter={(more) => set({ ...filters, ...more })}
          />
        )}
      </div>
    </Page>
  );
}

function Export({ filters }: { filters: Filters }) {
  const [isBusy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    try {
      const url = URL.createObjectURL(await exported(filters));
      const link = document.createElement("a");
      link.href = url;
      link.download = `events-${new Date().toISOString().slice(0, 10)}.ndjson`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 0);
    } catch (error) {
      toast(problemOf(error).message, "bad");
    }
    setBusy(false);
  };
  return (
    <Button
      onClick={save}
      disabled={isBusy}
      title="What the filters allow, one JSON document a line"
    >
      <Download size={14} aria-hidden />
      <span className="max-sm:sr-only">{isBusy ? "Exporting…" : "Export NDJSON"}</span>
    </Button>
  );
}
