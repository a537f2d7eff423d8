import type { ReactNode } from "react";

/** A part of a page in its frame, with a name and perhaps something to do. */
export function Panel({
  title,
  action,
  children,
}: {
  title: string;
  action?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section aria-label={title} className="rounded-lg border border-line bg-surface">
      <header className="flex h-11 items-center justify-between gap-2 pr-2 pl-4">
        <h2 className="font-medium">{title}</h2>
        {action}
      </header>
      <div className="px-4 pb-3">{children}</div>
    </section>
  );
}
