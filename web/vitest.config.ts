import { join } from "node:path";
import { defineConfig } from "vitest/config";

// Apart from vite.config.ts, as the build installs no tools for tests.
export default defineConfig({
  resolve: { alias: { "@": join(import.meta.dirname, "src") } },
  test: { environment: "node", include: ["src/**/*.test.{ts,tsx}"] },
});
