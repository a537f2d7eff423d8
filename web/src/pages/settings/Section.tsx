import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { meQuery } from "@/api/queries";
import { type Section as Facts, SECTIONS } from "@/shell/sections";
import { Failure, Forbidden, Loading } from "@/ui/states";

/** A section of the settings, for those who may use it; the others are told who may. */
export function Section({
  of,
  children,
  actions,
  about,
}: {
  of: Facts["to"];
  about: string;
  children: ReactNode;
  actions?: ReactNode;
}) {
  const { data: me, error, refetch } = useQuery(meQuery);
  const section = SECTIONS.find(({ to }) => to === of);
  if (error !== null) return <Failure error={error} retry={refetch} />;
  if (me === undefined || section === undefined) return <Loading />;
  if (!me.permissions.includes(section.needs)) {
    return <Forbidden>{section.who}</Forbidden>;
  }
  return (
    <div className="flex max-w-3xl flex-col gap-6">
      <title>{`${section.label} · Settings · Mission Control`}</title>
      <header className="flex flex-wrap items-start gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1 basis-64">
          <h2 className="text-xl font-semibold">{section.label}</h2>
          <p className="mt-1 text-ink-2">{about}</p>
        </div>
        {actions}
      </header>
      {children}
    </div>
  );
}

/** A part of a section: what it is about, and its controls on a surface. */
export function Part({
  title,
  about,
  children,
}: {
  title: string;
  about?: string;
  children: ReactNode;
}) {
  return (
    <section className="flex flex-col gap-3">
      <div>
        <h3 className="text-lg font-semibold">{title}</h3>
        {about !== undefined && <p className="text-ink-2">{about}</p>}
      </div>
      <div className="rounded-lg border border-line bg-surface p-4">{children}</div>
    </section>
  );
}
