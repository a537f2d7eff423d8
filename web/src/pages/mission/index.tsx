import { useParams } from "@tanstack/react-router";
import { Page } from "@/shell/Shell";
import { Empty } from "@/ui/states";

/** Placeholder: the page of one mission, `/missions/$missionId`. */
export default function MissionPage() {
  const { missionId } = useParams({ from: "/app/missions/$missionId" });
  return (
    <Page title="Mission">
      <Empty title="Not built yet">{missionId}</Empty>
    </Page>
  );
}
