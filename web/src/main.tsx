import "./styles/tokens.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { HINT } from "./api/early";
import { problemOf } from "./api/problem";
import { forget, useSession } from "./api/session";
import { live } from "./live/live";
import { makeRouter } from "./router";
import { onKey } from "./shell/shortcuts";
import { paint, useTheme } from "./shell/theme";

const RETRIES_MAX = 2;
/** Where the script came over the network, the font has to as well: what there is to read comes first. */
const FONT_AFTER_MS = 1_000;

paint(useTheme.getState().theme);
setTimeout(loadFont, isKept(import.meta.url) ? 0 : FONT_AFTER_MS);

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // A refusal stays one; only what did not arrive is asked for again.
      retry: (count, error) =>
        count < RETRIES_MAX && [0, 502, 503, 504].includes(problemOf(error).status),
      refetchOnWindowFocus: false,
    },
  },
});
const router = makeRouter(client);

// A session that ends anywhere, ends here: with its connection, and with what was read, which the next is not shown.
useSession.subscribe(({ state }, before) => {
  if (state !== "out" || before.state !== "in") return;
  live.stop();
  client.clear();
  void router.invalidate();
});
// Who signs out in one tab, does so in all.
window.addEventListener("storage", ({ key, newValue }) => {
  if (key === HINT && newValue === null) forget();
});
document.addEventListener("keydown", onKey);

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);

/** Whether the browser had a file from an earlier visit. */
function isKept(url: string): boolean {
  return performance
    .getEntriesByName(url, "resource")
    .some((entry) => (entry as PerformanceResourceTiming).transferSize === 0);
}

async function loadFont(): Promise<void> {
  try {
    await import("@fontsource-variable/inter/wght.css");
    await document.fonts.load('1em "Inter Variable"');
  } catch {
    // The server can't be reached: what there is to read stays in the system's font.
  }
}
