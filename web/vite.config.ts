import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const OUT = "../infra/web_dist";
const COMPRESSED = /\.(js|css|svg|json|webmanifest)$/;
/** Below this, what compression saves is less than its header costs. */
const COMPRESS_BYTES_MIN = 512;

/** Lets the style sheet come before all script: with it, a phone paints what index.html says while script is on its way. */
function styleFirst(): Plugin {
  return {
    name: "style-first",
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

const BACKEND = "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), tailwindcss(), styleFirst(), precompress()],
  // The server puts a fresh one in its place in every answer: see infra/http/site.py.
  html: { cspNonce: "csp-nonce-of-this-answer" },
  resolve: { alias: { "@": join(import.meta.dirname, "src") } },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // they know light-dark()
    // The content security policy allows no data: scripts or fonts; what is small stays a file.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      "/api": { target: BACKEND, changeOrigin: true, headers: { origin: BACKEND } },
      "/ws": { target: BACKEND, ws: true, changeOrigin: true, headers: { origin: BACKEND } },
    },
  },
});
