import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { Menu as MenuIcon, Search as SearchIcon } from "lucide-react";
import { type RefObject, Suspense, startTransition, useEffect, useRef, useState } from "react";
import { membersModel, meQuery } from "@/api/queries";
import { patiently } from "@/lib/parts";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import { IconButton } from "@/ui/Button";
import { Key } from "@/ui/marks";
import { radix } from "@/ui/radix";
import { NAV, type NavItem } from "./nav";
import { loadOverlays, Over } from "./Over";
import { OwnRole } from "./OwnRole";
import { closeOverlay, openOverlay, useOverlay } from "./overlay";
import { StatePill } from "./StatePill";
import { useShortcuts } from "./shortcuts";
import { UserMenu } from "./UserMenu";

const loadPanel = () => patiently(() => import("@/pages/mission/Panel"));
/**
 * The page comes first; then what a key or a card opens: it is there at once, and a server that is away meanwhile is
 * told of where somebody looks.
 */
const AT_REST_MS = 2_000;
const IS_WIDE = matchMedia("(width >= 48rem)");

/** What every page of a signed-in person stands in: navigation on the left, or behind a button on a phone. */
export function Shell() {
  const { data: me } = useQuery(meQuery);
  // Followed on every page, so that the line is open and the pill tells the truth.
  useLive(membersModel);
  const overlay = useOverlay(({ open }) => open);
  const navigate = useNavigate();
  const nav = useNavFocus(overlay === "nav");
  const [isAtRest, setAtRest] = useState(false);
  // On a phone it is out of sight at first.
  const isNavDrawn = IS_WIDE.matches || overlay === "nav" || isAtRest;
  useEffect(() => {
    const timer = setTimeout(() => {
      loadPanel().catch(() => {}); // whoever wants it asks again
      loadOverlays();
      radix.load();
      startTransition(() => setAtRest(true));
    }, AT_REST_MS);
    return () => clearTimeout(timer);
  }, []);
  const shown = NAV.filter(({ needs }) => me === undefined || me.permissions.includes(needs));
  useShortcuts([
    ...shown.map(({ to, key, label }) => ({
      keys: `g ${key}`,
      label: `Go to ${label.toLowerCase()}`,
      group: "Go to",
      run: () => void navigate({ to }),
    })),
    {
      keys: "?",
      label: "Show shortcuts",
      group: "Everywhere",
      run: () => openOverlay("shortcuts"),
    },
    {
      keys: "Ctrl+k",
      label: "Search and commands",
      group: "Everywhere",
      run: () => openOverlay("palette"),
    },
  ]);
  return (
    <div className="flex h-full">
      <a
        href="#main"
        className="sr-only focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-50 focus:rounded-md focus:bg-overlay focus:px-3 focus:py-2 focus:shadow-overlay"
      >
        Skip to content
      </a>
      {overlay === "nav" && (
        <button
          type="button"
          aria-label="Close navigation"
          onClick={closeOverlay}
          className="fixed inset-0 z-30 bg-scrim md:hidden"
        />
      )}
      <nav
        ref={nav}
        aria-label="Main"
        onKeyDown={(event) => event.key === "Escape" && overlay === "nav" && closeOverlay()}
        className={cn(
          "z-40 flex w-52 shrink-0 flex-col border-r border-line bg-canvas p-2 max-md:fixed max-md:inset-y-0 max-md:w-72 max-md:left-0 max-md:shadow-overlay",
          overlay !== "nav" && "max-md:hidden",
        )}
      >
        {isNavDrawn && <Navigation items={shown} workspace={me?.workspace.name} />}
      </nav>
      <div className="flex min-w-0 flex-1 flex-col">
        <Outlet />
      </div>
      {isAtRest && <OwnRole />}
      {overlay !== "none" && overlay !== "nav" && <Over open={overlay} />}
    </div>
  );
}

/** What is in the navigation: the way to every page, to what is looked for, and to what is one's own. */
function Navigation({ items, workspace }: { items: NavItem[]; workspace: string | undefined }) {
  return (
    <>
      <p className="flex h-8 items-center gap-2 truncate px-2 font-semibold">
        <img src="/icon.svg" alt="" width={18} height={18} />
        <span className="truncate">{workspace ?? "Mission Control"}</span>
      </p>
      <button
        type="button"
        onClick={() => openOverlay("palette")}
        className="transition-quick mt-2 flex h-8 items-center gap-2.5 rounded-md border border-line bg-raised px-2 text-ink-3 hover:bg-hover hover:text-ink"
      >
        <SearchIcon size={15} aria-hidden />
        <span className="flex-1 text-left">Find or do</span>
        <span aria-hidden className="flex gap-0.5 max-md:hidden">
          <Key>Ctrl</Key>
          <Key>K</Key>
        </span>
      </button>
      <ul className="mt-2 flex flex-col gap-px">
        {items.map((item) => (
          <li key={item.to}>
            <NavLink item={item} />
          </li>
        ))}
      </ul>
      <div className="mt-auto">
        <UserMenu />
      </div>
    </>
  );
}

/** On a phone: the navigation has the focus while it is open, and gives it back. */
function useNavFocus(isOpen: boolean): RefObject<HTMLElement | null> {
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    if (!isOpen) return;
    const before = document.activeElement;
    nav.current?.querySelector<HTMLElement>("a, button")?.focus();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, [isOpen]);
  return nav;
}

const HERE = { className: "bg-pressed !text-ink font-medium", "aria-current": "page" } as const;

function NavLink({ item: { to, label, icon: Icon, badge: Badge } }: { item: NavItem }) {
  // A board that has a name of its own is a board, too.
  const isNamedBoard = useLocation({ select: ({ pathname }) => pathname.startsWith("/boards/") });
  return (
    <Link
      to={to}
      activeOptions={{ includeSearch: false }}
      onClick={closeOverlay}
      className="transition-quick flex h-8 items-center gap-2.5 rounded-md px-2 text-ink-2 hover:bg-hover hover:text-ink"
      activeProps={HERE}
      {...(to === "/" && isNamedBoard ? { inactiveProps: HERE } : {})}
    >
      <Icon size={16} aria-hidden />
      {label}
      {Badge && (
        <Suspense>
          <Badge />
        </Suspense>
      )}
    </Link>
  );
}

/** The bar over a page: its name or controls on the left, its actions and the state on the right. */
export function TopBar({
  children,
  actions,
}: {
  children: React.ReactNode;
  actions?: React.ReactNode;
}) {
  return (
    <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line px-3 md:px-4">
      <IconButton label="Open navigation" className="md:hidden" onClick={() => openOverlay("nav")}>
        <MenuIcon size={16} aria-hidden />
      </IconButton>
      <div className="flex min-w-0 flex-1 items-center gap-2">{children}</div>
      {actions}
      <StatePill />
    </header>
  );
}

/** A page: its bar, and the content that scrolls. */
export function Page({
  title,
  actions,
  children,
}: {
  title: string;
  actions?: React.ReactNode;
  children: React.ReactNode;
}) {
  return (
    <>
      <title>{`${title} · Mission Control`}</title>
      <TopBar actions={actions}>
        <h1 className="truncate font-semibold">{title}</h1>
      </TopBar>
      <main id="main" tabIndex={-1} className="min-h-0 flex-1 overflow-auto outline-none">
        {children}
      </main>
    </>
  );
}
