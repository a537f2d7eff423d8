import { Page } from "@/shell/Shell";
import { Empty } from "@/ui/states";

/** Placeholder: the page of `/audit`. */
export default function AuditPage() {
  return (
    <Page title="Audit">
      <Empty title="Not built yet" />
    </Page>
  );
}
