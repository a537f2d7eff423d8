import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { agentsModel, boardsQuery, membersModel, meQuery, ownBoardQuery } from "@/api/queries";
import { accessToken } from "@/api/session";
import { patiently } from "@/lib/parts";
import { readMoment } from "@/lib/timeline";
import { liveOptions } from "@/live/query";
import { agentsSearch } from "@/pages/agents/search";
import { analyticsSearch } from "@/pages/analytics/search";
import { auditSearch } from "@/pages/audit/search";
import BoardPage from "@/pages/board";
import { boardSearch } from "@/pages/board/search";
import { inboxSearch } from "@/pages/inbox/search";
import { searchAddress } from "@/pages/search/address";
import { ComingPage, ComingPart } from "@/shell/Coming";
import { keepMoment, momentSearch } from "@/shell/moment";
import { Page, Shell } from "@/shell/Shell";
import { Empty, Failure } from "@/ui/states";
import { Toasts } from "@/ui/Toasts";

/** A page, whose script is loaded when it is first shown, or pointed at. */
const page = <Module extends Record<string, unknown>>(get: () => Promise<Module>) =>
  lazyRouteComponent(() => patiently(get));

type Context = { client: QueryClient };

/** So long a page waits for what it asked for, so that it is not drawn twice. */
const SOON_MS = 100;

/** Waits until all is there, but not for long: components show what they wait for. */
function soon(...asked: Promise<unknown>[]): Promise<unknown> {
  const patience = new Promise((resolve) => setTimeout(resolve, SOON_MS));
  return Promise.race([Promise.all(asked), patience]);
}

const root = createRootRouteWithContext<Context>()({
  component: () => (
    <>
      <Outlet />
      <Toasts />
    </>
  ),
});

/** Everything behind the sign-in stands in the shell. */
const app = createRoute({
  getParentRoute: () => root,
  id: "app",
  beforeLoad: async ({ location }) => {
    if ((await accessToken()) === null) {
      throw redirect({ to: "/sign-in", search: { to: location.href } });
    }
  },
  loader: ({ context: { client } }) =>
    soon(
      client.prefetchQuery(meQuery),
      client.prefetchQuery(boardsQuery),
      client.prefetchQuery(liveOptions(membersModel)),
      client.prefetchQuery(liveOptions(agentsModel)),
    ),
  component: Shell,
});

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: ({ to }: Record<string, unknown>): { to?: string } =>
    // Only our own pages: an address that somebody sent must not lead elsewhere.
    typeof to === "string" && /^\/(?!\/)/.test(to) ? { to } : {},
  beforeLoad: async ({ search }) => {
    const token = await accessToken().catch(() => null);
    if (token !== null) throw redirect({ href: search.to ?? "/", replace: true });
  },
  component: page(() => import("@/pages/sign-in")),
  pendingComponent: ComingPart,
});

const board = createRoute({
  getParentRoute: () => app,
  path: "/",
  validateSearch: boardSearch,
  search: { middlewares: [keepMoment] },
  loader: ({ context: { client } }) => soon(client.prefetchQuery(ownBoardQuery)),
  component: BoardPage,
});
const namedBoard = createRoute({
  getParentRoute: () => app,
  path: "/boards/$boardId",
  validateSearch: boardSearch,
  search: { middlewares: [keepMoment] },
  component: BoardPage,
});
const mission = createRoute({
  getParentRoute: () => app,
  path: "/missions/$missionId",
  validateSearch: momentSearch,
  search: { middlewares: [keepMoment] },
  loaderDeps: ({ search: { at } }) => ({ asOf: readMoment(at) }),
  loader: async ({ context: { client }, params: { missionId }, deps: { asOf } }) => {
    // Beside the page's script.
    const { missionModel } = await patiently(() => import("@/pages/mission/model"));
    await soon(client.prefetchQuery(liveOptions(missionModel(missionId, asOf))));
  },
  component: page(() => import("@/pages/mission")),
});
const agents = createRoute({
  getParentRoute: () => app,
  path: "/agents",
  validateSearch: agentsSearch,
  search: { middlewares: [keepMoment] },
  component: page(() => import("@/pages/agents")),
});
const agent = createRoute({
  getParentRoute: () => app,
  path: "/agents/$agentId",
  validateSearch: momentSearch,
  search: { middlewares: [keepMoment] },
  component: page(() => import("@/pages/agents/Agent")),
});
const search = createRoute({
  getParentRoute: () => app,
  path: "/search",
  validateSearch: searchAddress,
  component: page(() => import("@/pages/search")),
});
const analytics = createRoute({
  getParentRoute: () => app,
  path: "/analytics",
  validateSearch: analyticsSearch,
  component: page(() => import("@/pages/analytics")),
});
const audit = createRoute({
  getParentRoute: () => app,
  path: "/audit",
  validateSearch: auditSearch,
  component: page(() => import("@/pages/audit")),
});
const inbox = createRoute({
  getParentRoute: () => app,
  path: "/inbox",
  validateSearch: inboxSearch,
  component: page(() => import("@/pages/inbox")),
});
const settings = createRoute({
  getParentRoute: () => app,
  path: "/settings",
  component: page(() => import("@/pages/settings")),
});
const settingsHome = createRoute({
  getParentRoute: () => settings,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/settings/profile", replace: true });
  },
});
const profile = createRoute({
  getParentRoute: () => settings,
  path: "profile",
  component: page(() => import("@/pages/settings/Profile")),
  pendingComponent: ComingPart,
});
const members = createRoute({
  getParentRoute: () => settings,
  path: "members",
  component: page(() => import("@/pages/settings/Members")),
  pendingComponent: ComingPart,
});
const keys = createRoute({
  getParentRoute: () => settings,
  path: "keys",
  component: page(() => import("@/pages/settings/Keys")),
  pendingComponent: ComingPart,
});
const boardSettings = createRoute({
  getParentRoute: () => settings,
  path: "boards",
  component: page(() => import("@/pages/settings/Boards")),
  pendingComponent: ComingPart,
});
const boardColumns = createRoute({
  getParentRoute: () => settings,
  path: "boards/$boardId",
  component: page(() => import("@/pages/settings/BoardColumns")),
  pendingComponent: ComingPart,
});
/** Every other address: said in the shell, so that there is a way on. */
const nowhere = createRoute({
  getParentRoute: () => app,
  path: "$",
  component: () => (
    <Page title="Not found">
      <Empty title="There is no such page">The address has a slip in it, or the page moved.</Empty>
    </Page>
  ),
});

const tree = root.addChildren([
  signIn,
  app.addChildren([
    board,
    namedBoard,
    mission,
    agents,
    agent,
    search,
    analytics,
    audit,
    inbox,
    settings.addChildren([settingsHome, profile, members, keys, boardSettings, boardColumns]),
    nowhere,
  ]),
]);

/** Every page, by its address. */
export function makeRouter(client: QueryClient) {
  return createRouter({
    routeTree: tree,
    context: { client },
    // What makes no sense in an address is taken out of it, instead of being passed on with it.
    search: { strict: true },
    defaultPreload: "intent",
    defaultPendingMs: 200,
    defaultPendingComponent: ComingPage,
    defaultErrorComponent: ({ error, reset }) => <Failure error={error} retry={reset} />,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
