import { useParams } from "@tanstack/react-router";
import { Page } from "@/shell/Shell";
import { Empty } from "@/ui/states";

/** Placeholder: the page of one agent, `/agents/$agentId`. */
export default function AgentPage() {
  const { agentId } = useParams({ from: "/app/agents/$agentId" });
  return (
    <Page title="Agent">
      <Empty title="Not built yet">{agentId}</Empty>
    </Page>
  );
}
