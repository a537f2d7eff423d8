import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, minifySync, type Plugin, type Rolldown, transformWithOxc } from "vite";

const OUT = "../infra/web_dist";
const COMPRESSED = /\.(js|css|svg|json|webmanifest)$/;
const EARLY = "src/early.ts";
const MISSION_PAGE = "src/pages/mission/index.tsx";
/** Below this, what compression saves is less than its header costs. */
const COMPRESS_BYTES_MIN = 512;

/** Lets a phone paint what index.html says while the script is on its way. */
function scriptLater(): Plugin {
  return {
    name: "script-later",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler: (html) =>
        html.replaceAll(
          /<(script type|link rel)="(module|modulepreload)"/g,
          '$& fetchpriority="low"',
        ),
    },
  };
}

/**
 * Puts the style sheet into the page: a slow line that has it sooner paints sooner, and the script has the
 * connection that the page came by.
 */
function styleInside(): Plugin {
  return {
    name: "style-inside",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler: (html, { bundle }) =>
        html.replace(/<link rel="stylesheet"[^>]* href="\/([^"]+)"[^>]*>/, (_link, name) => {
          const file = bundle?.[name];
          if (file?.type !== "asset") throw new Error(`${name} is no style sheet`);
          delete bundle?.[name];
          // Parts that come later need the sheet as well: the link, which asks for nothing, says that it is here.
          return `<style nonce="${NONCE}">${file.source}</style><link rel="stylesheet" href="/${name}" disabled>`;
        }),
    },
  };
}

/** Puts what the page asks for early into the page: it has not to wait for a file. */
function early(): Plugin {
  return {
    name: "early",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler: async (_html, { bundle }) => {
        const path = join(import.meta.dirname, EARLY);
        const { code } = await transformWithOxc(readFileSync(path, "utf8"), path);
        const parts = JSON.stringify(partsOf(MISSION_PAGE, bundle ?? {}));
        const whole = minifySync(EARLY, `{${code.replace("MISSION_PARTS", parts)}}`).code;
        return [{ tag: "script", children: whole, injectTo: "head" }];
      },
    },
  };
}

/** Returns the addresses of a page's script, and of what that imports and the first page does not have. */
function partsOf(page: string, bundle: Rolldown.OutputBundle): string[] {
  const first = new Set(firstPage(bundle));
  const own = Object.values(bundle).filter(
    (file) => file.type === "chunk" && file.facadeModuleId?.endsWith(page),
  );
  const parts = withImports(own as Rolldown.OutputChunk[], bundle).filter((c) => !first.has(c));
  if (parts.length === 0) throw new Error(`${page} has no chunk of its own`);
  return parts.map(({ fileName }) => `/${fileName}`);
}

/** Puts a `.br` and a `.gz` beside every text, so that the server compresses nothing while it serves. */
function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    closeBundle() {
      for (const name of readdirSync(OUT, { recursive: true, encoding: "utf8" })) {
        const file = join(OUT, name);
        if (!COMPRESSED.test(name) || !statSync(file).isFile()) continue;
        const text = readFileSync(file);
        if (text.length < COMPRESS_BYTES_MIN) continue;
        writeFileSync(
          `${file}.br`,
          brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
        );
        writeFileSync(`${file}.gz`, gzipSync(text, { level: 9 }));
      }
    },
  };
}

/** Gzipped: what a phone on a slow line can wait for. What is not seen at once is to come later. */
const FIRST_PAGE_BYTES_MAX = 165_000;
const CHUNKS_NAMED = 5;

/** Fails the build where the first page needs too much script: the entries and all that they import. */
function budget(): Plugin {
  return {
    name: "budget",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const sizes = firstPage(bundle)
          .map(({ fileName, code }) => ({ fileName, bytes: gzipSync(code, { level: 9 }).length }))
          .sort((a, b) => b.bytes - a.bytes);
        const bytes = sizes.reduce((sum, chunk) => sum + chunk.bytes, 0);
        const said = `script of the first page: ${kB(bytes)} gzipped, of ${kB(FIRST_PAGE_BYTES_MAX)}`;
        if (bytes <= FIRST_PAGE_BYTES_MAX) {
          this.environment.logger.info(said);
          return;
        }
        const largest = sizes
          .slice(0, CHUNKS_NAMED)
          .map((chunk) => `${chunk.fileName} ${kB(chunk.bytes)}`);
        this.error(`${said}: too much. The largest: ${largest.join(", ")}`);
      },
    },
  };
}

/** Returns the chunks that the first page can't do without. */
function firstPage(bundle: Rolldown.OutputBundle): Rolldown.OutputChunk[] {
  const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
  return withImports(
    chunks.filter(({ isEntry }) => isEntry),
    bundle,
  );
}

/** Returns chunks, and all that they import. */
function withImports(
  chunks: readonly Rolldown.OutputChunk[],
  bundle: Rolldown.OutputBundle,
): Rolldown.OutputChunk[] {
  // A set goes on to what is added to it meanwhile.
  const needed = new Set(chunks);
  for (const { imports } of needed) {
    for (const name of imports) {
      const file = bundle[name];
      if (file?.type === "chunk") needed.add(file);
    }
  }
  return [...needed];
}

function kB(bytes: number): string {
  return `${(bytes / 1_000).toFixed(1)} kB`;
}

/** The server puts a fresh one in its place in every answer: see infra/http/site.py. */
const NONCE = "csp-nonce-of-this-answer";
const BACKEND = "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), tailwindcss(), scriptLater(), styleInside(), early(), budget(), precompress()],
  html: { cspNonce: NONCE },
  resolve: { alias: { "@": join(import.meta.dirname, "src") } },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // they know light-dark()
    // The content security policy allows no data: scripts or fonts; what is small stays a file.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        // All that the first page needs is one file, as every file costs a slow line a turn.
        codeSplitting: { groups: [{ name: "app", tags: ["$initial"] }] },
      },
    },
  },
  server: {
    proxy: {
      "/api": { target: BACKEND, changeOrigin: true, headers: { origin: BACKEND } },
      "/ws": { target: BACKEND, ws: true, changeOrigin: true, headers: { origin: BACKEND } },
    },
  },
});
