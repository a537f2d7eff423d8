import { useQuery } from "@tanstack/react-query";
import { Link, Outlet } from "@tanstack/react-router";
import { meQuery } from "@/api/queries";
import { Page } from "@/shell/Shell";
import { sections } from "@/shell/sections";

/** The settings: sections on the left, or in a row where there is no room, and the one of the address. */
export default function SettingsPage() {
  const { data: me } = useQuery(meQuery);
  return (
    <Page title="Settings">
      <div className="flex min-h-full max-lg:flex-col">
        <nav
          aria-label="Settings"
          className="flex shrink-0 gap-px border-line p-2 max-lg:overflow-x-auto max-lg:border-b lg:w-52 lg:flex-col lg:border-r lg:p-3"
        >
          {sections(me?.permissions ?? []).map(({ to, label, icon: Icon }) => (
            <Link
              key={to}
              to={to}
              className="transition-quick flex h-8 shrink-0 items-center gap-2.5 rounded-md px-2 text-ink-2 hover:bg-hover hover:text-ink"
              activeProps={{ className: "bg-pressed !text-ink font-medium" }}
            >
              <Icon size={15} aria-hidden />
              {label}
            </Link>
          ))}
        </nav>
        <div className="min-w-0 flex-1 px-4 py-6 md:px-8">
          <Outlet />
        </div>
      </div>
    </Page>
  );
}
