import { Page } from "@/shell/Shell";
import { Empty } from "@/ui/states";

/** Placeholder: the page of `/analytics`. */
export default function AnalyticsPage() {
  return (
    <Page title="Analytics">
      <Empty title="Not built yet" />
    </Page>
  );
}
