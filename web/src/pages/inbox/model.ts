import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { create } from "zustand";
import { api, body } from "@/api/client";
import { meQuery } from "@/api/queries";
import { type LiveModel, useLive } from "@/live/query";
import { applyToInbox, type Inbox, type InboxItem, unreadOf } from "@/models/inbox";
import type { Page } from "@/models/types";

const SHOWN_MAX = 200;
const READ_KEPT_MAX = 400;
const REFRESH_MS = 1_500;

/** What waits for whoever is signed in; asked for again when events concern it. */
export const inboxModel: LiveModel<Inbox> = {
  key: ["inbox"],
  room: "workspace",
  fetch: async (signal) => {
    const page = await body<Page<InboxItem>>(
      api.GET("/api/inbox", { params: { query: { limit: SHOWN_MAX } }, signal }),
    );
    return { state: { items: page.items, isStale: false }, position: page.position };
  },
  apply: applyToInbox,
};

/** The inbox, kept fresh: events tell that it changed, the server tells how. */
export function useInbox() {
  const client = useQueryClient();
  const query = useLive(inboxModel);
  const isStale = query.data?.state.isStale === true;
  useEffect(() => {
    if (!isStale) return;
    const timer = setTimeout(
      () => void client.invalidateQueries({ queryKey: inboxModel.key }),
      REFRESH_MS,
    );
    return () => clearTimeout(timer);
  }, [client, isStale]);
  return query;
}

type Marks = { seen: number; read: number[] };

/** What was read, on this device: the server does not keep it. */
const useMarks = create<{ of: string | null; marks: Marks }>(() => ({
  of: null,
  marks: { seen: 0, read: [] },
}));

const stored = (person: string) => `mc-inbox-${person}`;

function load(person: string): void {
  if (useMarks.getState().of === person) return;
  const text = localStorage.getItem(stored(person));
  const marks = text === null ? null : (JSON.parse(text) as Marks);
  useMarks.setState({ of: person, marks: marks ?? { seen: 0, read: [] } });
}

function keep(marks: Marks): void {
  const { of } = useMarks.getState();
  useMarks.setState({ marks });
  if (of !== null) localStorage.setItem(stored(of), JSON.stringify(marks));
}

/** Notes that an item was read. */
export function markRead({ position }: InboxItem): void {
  const { marks } = useMarks.getState();
  if (position <= marks.seen || marks.read.includes(position)) return;
  keep({ ...marks, read: [...marks.read, position].slice(-READ_KEPT_MAX) });
}

/** Notes that an item waits again. */
export function markUnread({ position }: InboxItem, items: readonly InboxItem[]): void {
  const { marks } = useMarks.getState();
  // What was read all at once is read one by one from here on, but for this.
  const before = items.filter((one) => one.position <= marks.seen).map((one) => one.position);
  const read = [...marks.read, ...before].filter((one) => one !== position);
  keep({ seen: Math.min(marks.seen, position - 1), read: read.slice(-READ_KEPT_MAX) });
}

/** Notes that everything there is was read. */
export function markAllRead(items: readonly InboxItem[]): void {
  const newest = Math.max(0, ...items.map(({ position }) => position));
  keep({ seen: Math.max(useMarks.getState().marks.seen, newest), read: [] });
}

/** Returns the items that nobody read on this device yet. */
export function useUnread(items: readonly InboxItem[]): InboxItem[] {
  const { data: me } = useQuery(meQuery);
  const { of, marks } = useMarks();
  useEffect(() => {
    if (me !== undefined) load(me.id);
  }, [me]);
  return of === null ? [] : unreadOf(items, marks.seen, new Set(marks.read));
}
