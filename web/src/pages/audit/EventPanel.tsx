import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { History, LinkIcon, X } from "lucide-react";
import type { ReactNode } from "react";
import { api, body } from "@/api/client";
import { useShortcuts } from "@/shell/shortcuts";
import { IconButton } from "@/ui/Button";
import { copyLink } from "@/ui/copy";
import { Failure, Loading } from "@/ui/states";
import { Actor, MOMENT, Type } from "./LogTable";
import type { Envelope, Filters, InFull } from "./log";
import { type NameOf, subjectWords, titlesIn } from "./subjects";

/** The lists that are given with an event, and whether an empty one says something too. */
const CHAINS: [Exclude<keyof InFull, "event" | "more">, string, boolean][] = [
  ["caused_by", "Caused by", true],
  ["caused", "What it caused", true],
  ["command", "By the same command", false],
  ["correlation", "In the same chain", false],
];

/** One event in full, beside the log: what it says, and what it hangs together with. */
export function EventPanel({
  position,
  nameOf,
  onOpen,
  onClose,
  onFilter,
}: {
  position: number;
  nameOf: NameOf;
  onOpen: (position: number) => void;
  onClose: () => void;
  onFilter: (more: Filters) => void;
}) {
  const { data, error, refetch } = useQuery({
    queryKey: ["event", position],
    queryFn: ({ signal }) =>
      body<InFull>(api.GET("/api/events/{position}", { params: { path: { position } }, signal })),
    staleTime: 60_000, // an event does not change, but what it caused may still come
  });
  useShortcuts([{ keys: "Escape", label: "Close the event", group: "Audit", run: onClose }]);
  const copy = () => {
    const link = new URL("/audit", location.origin);
    link.searchParams.set("event", String(position));
    void copyLink(link.href);
  };
  return (
    <aside
      aria-label={`Event ${position}`}
      className="flex w-[26rem] shrink-0 flex-col border-l border-line bg-surface max-lg:fixed max-lg:inset-y-0 max-lg:right-0 max-lg:z-20 max-lg:w-full max-lg:max-w-md max-lg:shadow-overlay"
    >
      <header className="flex h-12 shrink-0 items-center gap-1 border-b border-line pr-2 pl-4">
        <h2 className="tabular flex-1 font-semibold">Event {position}</h2>
        <Link
          to="/"
          search={{ at: position }}
          title="The board right after it"
          className="transition-quick inline-flex size-8 items-center justify-center rounded-md text-ink-3 hover:bg-hover hover:text-ink"
        >
          <History size={15} aria-label="Show the board right after this event" />
        </Link>
        <IconButton label="Copy a link to this event" onClick={copy}>
          <LinkIcon size={15} aria-hidden />
        </IconButton>
        <IconButton label="Close (Escape)" onClick={onClose}>
          <X size={16} aria-hidden />
        </IconButton>
      </header>
      <div className="min-h-0 flex-1 overflow-y-auto">
        {error !== null && <Failure error={error} retry={refetch} />}
        {error === null && data === undefined && <Loading />}
        {data !== undefined && (
          <>
            <Facts event={data.event} nameOf={nameOf} onFilter={onFilter} />
            <section className="border-t border-line px-4 py-3">
              <h3 className="mb-2 text-sm text-ink-3">Data</h3>
              <pre className="overflow-x-auto rounded-md border border-line bg-raised p-3 font-mono text-sm whitespace-pre-wrap break-words text-ink">
                {JSON.stringify(data.event.data, null, 2)}
              </pre>
            </section>
            {CHAINS.filter(([name, , always]) => always || data[name].length > 0).map(
              ([name, title]) => (
                <Chain
                  key={name}
                  title={title}
                  events={data[name]}
                  isCut={data.more.includes(name)}
                  onOpen={onOpen}
                />
              ),
            )}
          </>
        )}
      </div>
    </aside>
  );
}

function Facts({
  event,
  nameOf,
  onFilter,
}: {
  event: Envelope;
  nameOf: NameOf;
  onFilter: (more: Filters) => void;
}) {
  // Opened by a link, it may be far from what is listed, and tell the title by itself.
  const own = titlesIn([event]);
  return (
    <dl className="grid grid-cols-[7rem_minmax(0,1fr)] gap-x-3 gap-y-1.5 px-4 py-3">
      <Fact name="Type">
        <Filter onClick={() => onFilter({ type: event.type })}>{event.type}</Filter>
      </Fact>
      <Fact name="About">{subjectWords(event, (id) => nameOf(id) ?? own.get(id))}</Fact>
      <Fact name="Actor">
        <Filter onClick={() => onFilter({ actor: event.actor.id })}>
          <Actor event={event} />
        </Filter>
      </Fact>
      {event.on_behalf_of !== null && (
        <Fact name="On behalf of">
          <Actor event={{ actor: { kind: "user", id: event.on_behalf_of } }} />
        </Fact>
      )}
      <Fact name="Recorded">
        <time dateTime={event.recorded_at} title={event.recorded_at} className="tabular">
          {MOMENT.format(new Date(event.recorded_at))}
        </time>
      </Fact>
      <Fact name="Stream">
        <Filter onClick={() => onFilter({ stream: event.stream_id })}>
          <span className="font-mono text-sm">{event.stream_id}</span>
        </Filter>
        <span className="text-ink-3">version {event.stream_version}</span>
      </Fact>
      <Id name="Event" id={event.event_id} />
      <Id name="Command" id={event.command_id} />
      <Id name="Correlation" id={event.correlation_id} />
      <Id name="Causation" id={event.causation_id} />
      <Id name="Trace" id={event.traceparent} />
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-ink-3">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}

function Id({ name, id }: { name: string; id: string | null }) {
  return id === null ? null : (
    <Fact name={name}>
      <span className="font-mono text-sm text-ink-2">{id}</span>
    </Fact>
  );
}

/** A value that the log can be narrowed down to. */
function Filter({ onClick, children }: { onClick: () => void; children: ReactNode }) {
  return (
    <button
      type="button"
      onClick={onClick}
      title="Show only these"
      className="max-w-full rounded-sm text-left break-words text-accent underline-offset-2 hover:underline"
    >
      {children}
    </button>
  );
}

function Chain({
  title,
  events,
  isCut,
  onOpen,
}: {
  title: string;
  events: Envelope[];
  isCut: boolean;
  onOpen: (position: number) => void;
}) {
  return (
    <section className="border-t border-line px-2 py-3">
      <h3 className="px-2 text-sm text-ink-3">
        {title}
        {events.length > 0 && (
          <span className="tabular">
            {" "}
            · {events.length}
            {isCut && "+"}
          </span>
        )}
      </h3>
      {events.length === 0 && <p className="px-2 text-ink-3">Nothing</p>}
      <ul className="mt-1">
        {events.map((event) => (
          <li key={event.position}>
            <button
              type="button"
              onClick={() => onOpen(event.position)}
              className="grid h-8 w-full grid-cols-[3.5rem_minmax(0,1fr)_auto] items-center gap-2 rounded-md px-2 text-left hover:bg-hover"
            >
              <span className="tabular text-sm text-ink-3">{event.position}</span>
              <Type type={event.type} />
              <span className="tabular text-sm text-ink-3">
                {MOMENT.format(new Date(event.recorded_at))}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
