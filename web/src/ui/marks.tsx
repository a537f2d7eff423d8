import { Bot } from "lucide-react";
import type { Someone } from "@/api/queries";
import { cn } from "@/lib/text";
import type { Priority, Stage } from "@/models/types";

const BARS: Record<Priority, number> = { low: 1, normal: 2, high: 3, urgent: 3 };

/** A priority as bars, or an exclamation mark where it is urgent. */
export function PriorityMark({ priority }: { priority: Priority }) {
  if (priority === "urgent") {
    return (
      <svg
        viewBox="0 0 14 14"
        className="size-3.5 shrink-0 text-bad"
        role="img"
        aria-label="Urgent"
      >
        <rect width="14" height="14" rx="3" fill="currentColor" />
        <path
          d="M7 3.2v4.4M7 10.3v.6"
          stroke="var(--mc-raised)"
          strokeWidth="1.8"
          strokeLinecap="round"
        />
      </svg>
    );
  }
  return (
    <svg
      viewBox="0 0 14 14"
      className="size-3.5 shrink-0 text-ink-2"
      role="img"
      aria-label={`Priority ${priority}`}
    >
      {[0, 1, 2].map((bar) => (
        <rect
          key={bar}
          x={1 + bar * 4.4}
          y={9 - bar * 3.2}
          width="3"
          height={4 + bar * 3.2}
          rx="1"
          fill="currentColor"
          opacity={bar < BARS[priority] ? 1 : 0.25}
        />
      ))}
    </svg>
  );
}

const STAGE_COLOUR: Record<Stage, string> = {
  backlog: "text-stage-backlog",
  ready: "text-stage-ready",
  active: "text-stage-active",
  review: "text-stage-review",
  done: "text-stage-done",
};
const STAGE_FILL: Record<Stage, number> = {
  backlog: 0,
  ready: 0,
  active: 0.5,
  review: 0.75,
  done: 1,
};

/** A stage as a ring that fills. */
export function StageMark({ stage }: { stage: Stage }) {
  const radius = 2.1;
  const around = 2 * Math.PI * radius;
  return (
    <svg viewBox="0 0 14 14" className={cn("size-3.5 shrink-0", STAGE_COLOUR[stage])} aria-hidden>
      <circle
        cx="7"
        cy="7"
        r="5.6"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
        strokeDasharray={stage === "backlog" ? "1.6 1.9" : undefined}
      />
      <circle
        cx="7"
        cy="7"
        r={radius}
        fill="none"
        stroke="currentColor"
        strokeWidth={radius * 2}
        strokeDasharray={`${STAGE_FILL[stage] * around} ${around}`}
        transform="rotate(-90 7 7)"
      />
    </svg>
  );
}

/** A person's initials, or an agent's sign. */
export function Avatar({ who, working = false }: { who: Someone; working?: boolean }) {
  const initials = who.name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => word[0]?.toUpperCase() ?? "")
    .join("");
  return (
    <span
      title={who.name}
      role="img"
      aria-label={working ? `${who.name}, working` : who.name}
      className={cn(
        "inline-flex size-5 shrink-0 items-center justify-center text-xs font-medium",
        who.kind === "agent"
          ? "rounded-sm bg-accent-soft text-accent-strong"
          : "rounded-full bg-pressed text-ink-2",
        working && "ring-2 ring-stage-active",
      )}
    >
      {who.kind === "agent" ? <Bot size={13} aria-hidden /> : initials}
    </span>
  );
}

/** A small word about a thing. */
export function Tag({ children }: { children: string }) {
  return (
    <span
      title={children}
      className="inline-flex h-5 max-w-32 min-w-0 items-center rounded-sm border border-line px-1.5 text-sm text-ink-2"
    >
      <span className="truncate">{children}</span>
    </span>
  );
}

/** A key of the keyboard. */
export function Key({ children }: { children: string }) {
  return (
    <kbd className="inline-flex h-5 min-w-5 items-center justify-center rounded-sm border border-line-strong bg-surface px-1 font-sans text-xs text-ink-2">
      {children}
    </kbd>
  );
}
