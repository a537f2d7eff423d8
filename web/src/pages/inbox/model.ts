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

function marksOf(person: string): Marks {
  const text = localStorage.getItem(stored(person));
  return text === null ? { seen: 0, read: [] } : (JSON.parse(text) as Marks);
}

/** Reads what somebody has read, and again when another tab notes more; returns how to stop. */
function followMarks(person: string): () => void {
  const read = () => useMarks.setState({ of: person, marks: marksOf(person) });
  const onStorage = ({ key }: StorageEvent) => {
    if (key === stored(person) || key === null) read();
  };
  read();
  window.addEventListener("storage", onStorage);
  return () => window.removeEventListener("storage", onStorage);
}

/** As it is stored now: another tab may have noted what this one has not heard of yet. */
function newest(): Marks {
  const { of, marks } = useMarks.getState();
  return of === null ? marks : marksOf(of);
}

function keep(marks: Marks): void {
  const { of } = useMarks.getState();
  useMarks.setState({ marks });
  if (of !== null) localStorage.setItem(stored(of), JSON.stringify(marks));
}

/** Notes that an item was read. */
export function markRead({ position }: InboxItem): void {
  const marks = newest();
  if (position <= marks.seen || marks.read.includes(position)) return;
  keep({ ...marks, read: [...marks.read, position].slice(-READ_KEPT_MAX) });
}

/** Notes that an item waits again. */
export function markUnread({ position }: InboxItem, items: readonly InboxItem[]): void {
  const marks = newest();
  // What was read all at once is read one by one from here on, but for this.
  const before = items.filter((one) => one.position <= marks.seen).map((one) => one.position);
  const read = [...marks.read, ...before].filter((one) => one !== position);
  keep({ seen: Math.min(marks.seen, position - 1), read: read.slice(-READ_KEPT_MAX) });
}

/** Notes that everything there is was read. */
export function markAllRead(items: readonly InboxItem[]): void {
  const last = Math.max(0, ...items.map(({ position }) => position));
  keep({ seen: Math.max(newest().seen, last), read: [] });
}

/** Returns the items that nobody read on this device yet. */
export function useUnread(items: readonly InboxItem[]): InboxItem[] {
  const { data: me } = useQuery(meQuery);
  const { of, marks } = useMarks();
  useEffect(() => {
    return me === undefined ? undefined : followMarks(me.id);
  }, [me]);
  return of === null ? [] : unreadOf(items, marks.seen, new Set(marks.read));
}
