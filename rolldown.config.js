// Bundles the command line: one file a command, so that `belay run` never loads the tracker. Bundling halves the time
// from `belay run` to the job's first instruction.
import { defineConfig } from "rolldown";

export default defineConfig({
  input: { main: "src/cli/main.ts" },
  platform: "node",
  external: [/^node:/],
  output: {
    dir: "dist/cli",
    format: "esm",
    minify: false,
    chunkFileNames: "[name]-[hash].js",
  },
});
