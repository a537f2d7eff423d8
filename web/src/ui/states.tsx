import { CircleSlash, CloudOff, Lock, type LucideIcon, SearchX } from "lucide-react";
import type { ReactNode } from "react";
import { problemOf } from "@/api/problem";
import { Button } from "./Button";

/** Nothing here, and what to do about it. */
export function Empty({
  icon: Icon = CircleSlash,
  title,
  children,
  action,
}: {
  icon?: LucideIcon;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="flex flex-col items-center justify-center gap-2 px-6 py-16 text-center">
      <span className="mb-2 inline-flex size-10 items-center justify-center rounded-lg border border-line bg-raised text-ink-3">
        <Icon size={18} aria-hidden />
      </span>
      <h2 className="text-lg font-semibold text-ink">{title}</h2>
      {children !== undefined && <p className="max-w-sm text-ink-2">{children}</p>}
      {action !== undefined && <div className="mt-3">{action}</div>}
    </div>
  );
}

/** A page or a part of one that somebody's role has no right to; says who has. */
export function Forbidden({ children }: { children: ReactNode }) {
  return (
    <Empty icon={Lock} title="Not for your role">
      {children} Ask an admin of the workspace if you need it.
    </Empty>
  );
}

/** What a query's failure looks like: forbidden, not found, offline, or an error with the server's words. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = problemOf(error);
  const again = retry && <Button onClick={retry}>Try again</Button>;
  if (problem.status === 403) return <Forbidden>{problem.message}</Forbidden>;
  if (problem.status === 404 || problem.status === 422) {
    return (
      <Empty icon={SearchX} title="Not found">
        It may have been deleted, or the address has a slip in it.
      </Empty>
    );
  }
  if (problem.code === "network") {
    return (
      <Empty icon={CloudOff} title="No connection" action={again}>
        {problem.message} What you see elsewhere stays as it was.
      </Empty>
    );
  }
  return (
    <Empty icon={CloudOff} title="That did not work" action={again}>
      {problem.message}
    </Empty>
  );
}

/** A grey block where something will be. */
export function Skeleton({ className }: { className: string }) {
  return <div className={`animate-pulse rounded-md bg-hover ${className}`} />;
}

/** A page's first moments. */
export function Loading({ label = "Loading" }: { label?: string }) {
  return (
    <div role="status" aria-label={label} className="flex flex-col gap-3 p-6">
      <Skeleton className="h-6 w-48" />
      <Skeleton className="h-24 w-full max-w-2xl" />
      <Skeleton className="h-24 w-full max-w-2xl" />
    </div>
  );
}
