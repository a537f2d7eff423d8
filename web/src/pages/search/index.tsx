import { Page } from "@/shell/Shell";
import { Empty } from "@/ui/states";

/** Placeholder: the page of `/search`. */
export default function SearchPage() {
  return (
    <Page title="Search">
      <Empty title="Not built yet" />
    </Page>
  );
}
