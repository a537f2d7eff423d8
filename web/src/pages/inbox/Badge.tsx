import { useInbox, useUnread } from "./model";

const SHOWN_MAX = 99;
const NOTHING: never[] = [];

/** How many things wait unread, beside the inbox in the navigation. */
export default function InboxBadge() {
  const unread = useUnread(useInbox().data?.state.items ?? NOTHING).length;
  if (unread === 0) return null;
  return (
    <span className="tabular ml-auto text-sm font-normal text-ink-2">
      {unread > SHOWN_MAX ? `${SHOWN_MAX}+` : unread}
      <span className="sr-only"> unread</span>
    </span>
  );
}
