import { useLocation } from "@tanstack/react-router";
import { CloudOff } from "lucide-react";
import { useAwaited } from "@/lib/parts";
import { Empty, Loading } from "@/ui/states";
import { NAV } from "./nav";
import { Page } from "./Shell";

/** A page whose script is on its way: its bar is there, with the state of the connection. */
export function ComingPage() {
  const path = useLocation({ select: ({ pathname }) => pathname });
  const item = NAV.find(({ to }) => to !== "/" && path.startsWith(to));
  return (
    <Page title={item?.label ?? (path.startsWith("/missions/") ? "Mission" : "Board")}>
      <ComingPart />
    </Page>
  );
}

/** What is shown until a part's script is here; where the server can't be reached, that it is waited for. */
export function ComingPart() {
  const isAwaited = useAwaited(({ parts }) => parts > 0);
  if (!isAwaited) return <Loading />;
  return (
    <div role="status" aria-label="Loading">
      <Empty icon={CloudOff} title="No connection">
        This page was not loaded yet. It opens by itself when the server can be reached again.
      </Empty>
    </div>
  );
}
