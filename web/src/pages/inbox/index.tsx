import { Page } from "@/shell/Shell";
import { Empty } from "@/ui/states";

/** Placeholder: the page of `/inbox`. */
export default function InboxPage() {
  return (
    <Page title="Inbox">
      <Empty title="Not built yet" />
    </Page>
  );
}
