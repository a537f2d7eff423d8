import { Page } from "@/shell/Shell";
import { Empty } from "@/ui/states";

/** Placeholder: the page of `/settings`. */
export default function SettingsPage() {
  return (
    <Page title="Settings">
      <Empty title="Not built yet" />
    </Page>
  );
}
