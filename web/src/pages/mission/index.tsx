import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { ChevronRight } from "lucide-react";
import { boardsQuery } from "@/api/queries";
import type { Mission } from "@/models/types";
import { TopBar } from "@/shell/Shell";
import { Actions } from "./Actions";
import { MissionFrame } from "./Mission";

/** The page of one mission, `/missions/$missionId`. */
export default function MissionPage() {
  const { missionId } = useParams({ from: "/app/missions/$missionId" });
  return (
    <main id="main" tabIndex={-1} className="flex min-h-0 flex-1 flex-col outline-none">
      <MissionFrame missionId={missionId} bar={(mission) => <Bar mission={mission} />} />
    </main>
  );
}

function Bar({ mission }: { mission: Mission | undefined }) {
  const { data: boards } = useQuery(boardsQuery);
  const navigate = useNavigate();
  const board = boards?.find(({ id }) => id === mission?.board_id);
  const leave = () =>
    void navigate(
      board === undefined || board.default
        ? { to: "/" }
        : { to: "/boards/$boardId", params: { boardId: board.id } },
    );
  return (
    <>
      <title>{`${mission?.title ?? "Mission"} · Mission Control`}</title>
      <TopBar actions={mission !== undefined && <Actions onGone={leave} />}>
        <h1 className="flex min-w-0 items-center gap-1.5">
          {board !== undefined && (
            <>
              <Link
                to="/boards/$boardId"
                params={{ boardId: board.id }}
                className="shrink-0 rounded-sm text-ink-2 hover:text-ink max-sm:hidden"
              >
                {board.name}
              </Link>
              <ChevronRight size={13} aria-hidden className="shrink-0 text-ink-3 max-sm:hidden" />
            </>
          )}
          <span className="truncate font-semibold">{mission?.title ?? "Mission"}</span>
        </h1>
      </TopBar>
    </>
  );
}
