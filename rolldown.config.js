// Bundles the command line, so that it starts fast: few files, each loaded only by the commands that need it. `belay
// run` loads neither the tracker nor the client of JobService. Names are kept, so that a stack trace can be read.
//
// As CommonJS: an ES module that imports `node:fs` or `node:util` has Node make a namespace of all their exports, which
// loads what those get lazily (streams, workers, promises), and each file goes through the asynchronous loader. That is
// 20 of the 100 ms in which an agent starts.
import { defineConfig } from "rolldown";

export default defineConfig({
  input: { main: "src/cli/main.ts" },
  platform: "node",
  external: [/^node:/],
  // Node 22 has no `using`.
  transform: { target: "node22" },
  preserveEntrySignatures: false,
  plugins: [
    {
      name: "commonjs-here",
      // The package itself is made of ES modules; the nearest package.json says what a .js file is.
      generateBundle() {
        this.emitFile({ type: "asset", fileName: "package.json", source: '{ "type": "commonjs" }\n' });
      },
    },
  ],
  output: {
    dir: "dist/cli",
    format: "cjs",
    // White space is a third of what would have to be read.
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
    chunkFileNames: "[name]-[hash].js",
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [
        // What every call needs, --version too.
        { name: "program", test: /src\/base\/(errors|version)|src\/cli\/(program|commands|did-you-mean|io)\.ts/ },
        // What every command needs, and what an agent does not. Reading a contract's descriptors takes milliseconds.
        { name: "job-service", test: /src\/gen\/.*job_service/ },
        { name: "contract", test: /src\/gen\/belay|@bufbuild\/protobuf/ },
        // What commands that call JobService need.
        { name: "client", test: /src\/cli\/client\/|@connectrpc\/connect/, minShareCount: 2 },
        { name: "common", test: /src\/(cli|base)\//, minShareCount: 5 },
      ],
    },
  },
});
