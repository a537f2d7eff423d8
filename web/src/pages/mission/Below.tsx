import { Comments } from "./Comments";
import { Dependencies } from "./Dependencies";
import { type Tab, Tabs } from "./Tabs";
import { Timeline } from "./Timeline";

/** What stands below a mission's description: what it waits for, what was said, and what happened. */
export default function Below({ tab, onTab }: { tab: Tab; onTab: (tab: Tab) => void }) {
  return (
    <>
      <Dependencies />
      <section>
        <Tabs tab={tab} onTab={onTab} />
        {tab === "comments" ? <Comments /> : <Timeline />}
      </section>
    </>
  );
}
