/**
 * Lighthouse on pages of somebody who is signed in. Reads what to do from standard input (see lighthouse.py), and
 * writes a line of JSON for each run.
 */
import { readFileSync } from "node:fs";
import lighthouse from "lighthouse";
import desktop from "lighthouse/core/config/desktop-config.js";
import puppeteer from "puppeteer-core";

/** Without a config, it is Lighthouse's mobile preset. */
const CONFIGS = { desktop, mobile: undefined };
const FIGURES = {
  fcp_s: ["first-contentful-paint", 1000],
  lcp_s: ["largest-contentful-paint", 1000],
  tti_s: ["interactive", 1000],
  tbt_s: ["total-blocking-time", 1000],
  cls: ["cumulative-layout-shift", 1],
};
const SCORES = ["accessibility", "best-practices"];
const TRIES_MAX = 3;

const todo = JSON.parse(readFileSync(0, "utf8"));
const browser = await puppeteer.launch({
  executablePath: todo.chromium,
  args: todo.arguments,
  defaultViewport: null,
});
try {
  await signIn(todo);
  const port = Number(new URL(browser.wsEndpoint()).port);
  for (const { page, path, preset } of todo.runs) {
    const flags = {
      port,
      logLevel: "silent",
      onlyCategories: ["performance", ...SCORES],
      // All but the session: the scripts come over the network each time.
      clearStorageTypes: ["file_systems", "shader_cache", "service_workers", "cache_storage"],
    };
    const lhr = await measured(`${todo.url}${path}`, flags, CONFIGS[preset]);
    console.log(JSON.stringify({ page, preset, ...told(lhr) }));
  }
} finally {
  await browser.close();
}

/** Returns a report; a trace that was not recorded, as happens at times, is tried again. */
async function measured(url, flags, config) {
  for (let tries = 1; ; tries += 1) {
    const { lhr } = await lighthouse(url, flags, config);
    if (!lhr.runtimeError || tries === TRIES_MAX) return lhr;
  }
}

async function signIn({ url, email, password }) {
  const page = await browser.newPage();
  await page.goto(url);
  await page.locator("input[autocomplete=username]").fill(email);
  await page.locator("input[type=password]").fill(password);
  await page.locator("button[type=submit]").click();
  await page.waitForSelector("nav[aria-label=Main]");
  await page.close();
}

function told(lhr) {
  if (lhr.runtimeError) throw new Error(lhr.runtimeError.message);
  if (new URL(lhr.finalDisplayedUrl).pathname === "/sign-in") throw new Error("not signed in");
  const figures = Object.entries(FIGURES).map(([name, [audit, per]]) => [
    name,
    lhr.audits[audit].numericValue / per,
  ]);
  const scores = SCORES.map((name) => [name, Math.round(lhr.categories[name].score * 100)]);
  return {
    figures: Object.fromEntries([...figures, ...scores]),
    findings: SCORES.flatMap((name) => findingsOf(lhr, name)),
  };
}

/** What cost a score of a category its points, and where on the page. */
function findingsOf(lhr, category) {
  return lhr.categories[category].auditRefs
    .filter(({ id, weight }) => weight > 0 && (lhr.audits[id].score ?? 1) < 1)
    .map(({ id }) => {
      const { title, details } = lhr.audits[id];
      const where = (details?.items ?? []).map(
        (item) => item.node?.selector ?? item.description ?? item.source ?? item.url ?? "",
      );
      return { category, id, title, where };
    });
}
