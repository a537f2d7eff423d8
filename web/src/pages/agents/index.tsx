import { Page } from "@/shell/Shell";
import { Empty } from "@/ui/states";

/** Placeholder: the page of `/agents`. */
export default function AgentsPage() {
  return (
    <Page title="Agents">
      <Empty title="Not built yet" />
    </Page>
  );
}
