import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Bot, Check, type LucideIcon, SquareKanban, UserPlus, X } from "lucide-react";
import { type ReactNode, useState } from "react";
import { agentsModel, membersModel, meQuery, useMay } from "@/api/queries";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import type { BoardState } from "@/models/board";
import { IconButton } from "@/ui/Button";
import { NEW } from "@/ui/useNew";

const PUT_AWAY = "mc-welcome-put-away";

/**
 * Greets a workspace that is still empty, with three next steps, each ticked off when it is done. It goes
 * away when all are, or when it is put away; somebody who may do none of them never sees it.
 */
export function Welcome({ board }: { board: BoardState }) {
  const { data: me } = useQuery(meQuery);
  const agents = useLive(agentsModel).data?.state;
  const members = useLive(membersModel).data?.state;
  const mayCreate = useMay("create_missions");
  const mayRegister = useMay("manage_agents");
  const mayAdd = useMay("admin_access");
  const [isAway, setAway] = useState(() => localStorage.getItem(PUT_AWAY) !== null);
  if (isAway || me === undefined || agents === undefined || members === undefined) return null;
  const hasCards = board.cards.size > 0;
  const hasAgents = agents.size > 0;
  const isAlone = [...members.values()].filter(({ removed }) => !removed).length < 2;
  // Without cards, the board of a workspace at work is just an empty board.
  if (hasAgents && !isAlone) return null;
  const first = board.columns.find(({ stage }) => stage === "ready") ?? board.columns[0];
  if (!mayCreate && !mayRegister && !mayAdd) return null;
  return (
    <section aria-labelledby="welcome" className="relative border-b border-line bg-surface p-4">
      <h2 id="welcome" className="text-lg font-semibold">
        Welcome to {me.workspace.name}
      </h2>
      <p className="mt-0.5 max-w-2xl pr-8 text-ink-2">
        People and agents share this board. Whatever happens on it is kept, and can be wound back.
      </p>
      <IconButton
        label="Put the welcome away"
        className="absolute top-3 right-3"
        onClick={() => {
          localStorage.setItem(PUT_AWAY, "1");
          setAway(true);
        }}
      >
        <X size={15} aria-hidden />
      </IconButton>
      <ol className="mt-4 grid gap-2 lg:grid-cols-3">
        {mayCreate && (
          <Step
            icon={SquareKanban}
            title="Write the first mission"
            isDone={hasCards}
            action={
              <button
                type="button"
                className="font-medium text-accent"
                onClick={() =>
                  document
                    .querySelector<HTMLElement>(
                      `[aria-label="Add a mission to ${CSS.escape(first?.name ?? "")}"]`,
                    )
                    ?.click()
                }
              >
                Add a mission
              </button>
            }
          >
            A title is enough. In “{first?.name}” an agent may claim it.
          </Step>
        )}
        {mayRegister && (
          <Step
            icon={Bot}
            title="Connect an agent"
            isDone={hasAgents}
            action={
              <Link to="/agents" hash={NEW} className="font-medium text-accent">
                Register an agent
              </Link>
            }
          >
            It gets a key, and lines to paste that claim its first mission.
          </Step>
        )}
        {mayAdd && (
          <Step
            icon={UserPlus}
            title="Bring somebody in"
            isDone={!isAlone}
            action={
              <Link to="/settings/members" hash={NEW} className="font-medium text-accent">
                Add a member
              </Link>
            }
          >
            Choose what they may do; they see the board move as you do.
          </Step>
        )}
      </ol>
    </section>
  );
}

function Step({
  icon: Icon,
  title,
  isDone,
  action,
  children,
}: {
  icon: LucideIcon;
  title: string;
  isDone: boolean;
  action: ReactNode;
  children: ReactNode;
}) {
  return (
    <li className="flex gap-3 rounded-md border border-line bg-raised p-3">
      <span
        className={cn(
          "inline-flex size-7 shrink-0 items-center justify-center rounded-md",
          isDone ? "bg-accent-soft text-good" : "bg-pressed text-ink-2",
        )}
      >
        {isDone ? <Check size={15} role="img" aria-label="Done" /> : <Icon size={15} aria-hidden />}
      </span>
      <div className="min-w-0">
        <h3 className={cn("font-medium", isDone && "text-ink-3 line-through")}>{title}</h3>
        {!isDone && (
          <>
            <p className="mt-0.5 mb-1.5 text-ink-2">{children}</p>
            {action}
          </>
        )}
      </div>
    </li>
  );
}
