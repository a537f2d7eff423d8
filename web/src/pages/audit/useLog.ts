import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { type Envelope, type Filters, type LogPage, logEnd, pageBefore, readLog } from "./log";

/** A line that broke is taken up again after so long. */
const AGAIN_MS = 2_000;
/** Events that come close together are shown together. */
const GATHER_MS = 150;

/** The log by filters, newest first: what it holds, page by page, and while `isFollowed` what comes to it. */
export function useLog(filters: Filters, isFollowed: boolean) {
  const pages = useInfiniteQuery({
    queryKey: ["audit", filters],
    initialPageParam: null as number | null,
    queryFn: async ({ pageParam, signal }): Promise<LogPage & { end: number }> => {
      const end = pageParam ?? (await logEnd(filters, signal));
      const read = async (from: number, before: number) => {
        const events: Envelope[] = [];
        const keep = (event: Envelope) => event.position < before && events.push(event) > 0;
        await readLog(filters, { from }, keep, signal);
        return events;
      };
      return { ...(await pageBefore(read, end)), end };
    },
    getNextPageParam: ({ before }) => before,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const end = pages.data?.pages[0]?.end;
  const come = useTail(filters, end, isFollowed && filters.until === undefined);
  const events = useMemo(
    () => [...come, ...(pages.data?.pages.flatMap((page) => page.events) ?? [])],
    [come, pages.data],
  );
  return { ...pages, events, arrived: come.length };
}

/** What came to the log since it was fetched up to `end`, newest first. */
function useTail(filters: Filters, end: number | undefined, isOn: boolean): Envelope[] {
  const [come, setCome] = useState<{ key: string; events: Envelope[] }>({ key: "", events: [] });
  const key = `${JSON.stringify(filters)} ${end}`;
  const events = come.key === key ? come.events : NOTHING;
  const last = events[0]?.position ?? (end === undefined ? undefined : end - 1);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what came moves the position itself, and opens nothing anew
  useEffect(() => {
    if (!isOn || last === undefined) return;
    const abort = new AbortController();
    let from = last;
    let waiting: Envelope[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      timer = undefined;
      const batch = waiting.reverse();
      waiting = [];
      setCome((now) => ({ key, events: [...batch, ...(now.key === key ? now.events : [])] }));
    };
    const hear = (event: Envelope) => {
      from = event.position;
      waiting.push(event);
      timer ??= setTimeout(flush, GATHER_MS);
      return true;
    };
    const follow = async () => {
      while (!abort.signal.aborted) {
        await readLog(filters, { from, follow: true }, hear, abort.signal).catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    };
    void follow();
    return () => {
      abort.abort();
      if (timer !== undefined) {
        clearTimeout(timer);
        flush();
      }
    };
  }, [key, isOn, end]);
  return events;
}

const NOTHING: Envelope[] = [];
