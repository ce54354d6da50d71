// Bundles the command line, so that it starts fast: few files, each loaded only by the commands that need it. `belay
// run` loads neither the tracker nor the client of JobService. Names are kept, so that a stack trace can be read.
//
// As CommonJS: an ES module that imports `node:fs` or `node:util` has Node make a namespace of all their exports, which
// loads what those get lazily (streams, workers, promises), and each file goes through the asynchronous loader. That is
// 20 of the 100 ms in which an agent starts.
import { createHash } from "node:crypto";
import { chmodSync, readdirSync, readFileSync } from "node:fs";
import { defineConfig } from "rolldown";
import { patchedDependencies } from "./src/cli/bundle/patched-dependencies.ts";

/** Whether the dependencies are bundled as they are: a story in CI runs on such a bundle, so that a patch cannot hide a fault. */
const plain = process.env.BELAY_PLAIN_BUNDLE === "1";

const common = {
  platform: "node",
  external: [/^node:/],
  // Node 22 has no `using`.
  transform: { target: "node22" },
  preserveEntrySignatures: "allow-extension",
};
const output = {
  dir: plain ? "dist/plain" : "dist/cli",
  format: "cjs",
  // White space and names of variables are half of what would have to be read.
  minify: { compress: true, mangle: { keepNames: true }, codegen: { removeWhitespace: true } },
};

const program = defineConfig({
  ...common,
  input: { belay: "src/cli/main.ts" },
  plugins: [
    ...(plain ? [] : patchedDependencies()),
    {
      name: "commonjs-here",
      // The package itself is made of ES modules; the nearest package.json says what a .js file is.
      generateBundle(_options, bundle) {
        failOnCycles(bundle);
        this.emitFile({ type: "asset", fileName: "package.json", source: '{ "type": "commonjs" }\n' });
      },
    },
  ],
  output: {
    ...output,
    entryFileNames: "[name]-[hash].js",
    chunkFileNames: "[name]-[hash].js",
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [
        // What every call needs, --version too.
        {
          name: "program",
          test: /src\/base\/(errors|version|text\/did-you-mean|files\/(directories|file-problem))|src\/cli\/(program|commands|demo\/demo-time|process\/(io|when-read|file-sink)|flags\/context)\.ts/,
        },
        // What agent and tracker speak. Reading a contract's descriptors takes milliseconds, so the other service is apart.
        {
          name: "contract",
          test: /src\/gen\/belay\/v1\/(job|tracker_service)_pb|@bufbuild\/protobuf|src\/cli\/bundle/,
        },
        { name: "job-service", test: /src\/gen\/.*job_service/ },
        // What a tracker needs that exports spans and metrics.
        { name: "opentelemetry", test: /@opentelemetry\/|src\/tracker\/otel\// },
        // What commands that call JobService need.
        { name: "client", test: /src\/cli\/client\/|@connectrpc\/connect/, minShareCount: 2 },
        // What agent and tracker have in common as programs that keep running.
        {
          name: "running",
          test: /src\/cli\/process\/(aborted|bounded-lines|warning-signals)|src\/cli\/flags\/log-flags|src\/base\/silence/,
          minShareCount: 2,
        },
        { name: "common", test: /src\/(cli\/(?!terminal)|base|contract)\//, minShareCount: 5 },
      ],
    },
  },
});

/** The first file, which loads the others by way of the code cache. */
const start = defineConfig({
  ...common,
  input: { main: "src/cli/bundle/start.ts" },
  plugins: [
    {
      name: "complete-start",
      generateBundle: (_options, bundle) => completeStart(bundle["main.js"]),
      writeBundle: () => chmodSync(`${output.dir}/main.js`, 0o755),
    },
  ],
  output,
});

export default [program, start];

/** Files that require each other, which ES modules may do, would find each other half made. */
function failOnCycles(bundle) {
  const done = new Set();
  const visit = (name, path) => {
    if (path.includes(name))
      throw new Error(`Chunks require each other: ${[...path, name].join(" > ")}; put what they share into a group`);
    if (done.has(name)) return;
    for (const next of bundle[name]?.imports ?? []) visit(next, [...path, name]);
    done.add(name);
  };
  for (const name of Object.keys(bundle)) visit(name, []);
}

/** Tells the first file what the others are, and puts in front what starts Node on it. */
function completeStart(file) {
  if (file.imports.length > 0)
    throw new Error(`The first file must stand alone; it requires ${file.imports.join(", ")}`);
  const names = readdirSync(output.dir).filter((name) => name.endsWith(".js") && name !== "main.js");
  const entries = names.filter((name) => name.startsWith("belay-"));
  if (entries.length !== 1)
    throw new Error(`One file begins the program, not ${entries.length}: node --run build:clean`);
  const id = createHash("sha256").update(names.toSorted().join()).digest("hex").slice(0, 12);
  for (const [mark, value] of Object.entries({ BELAY_ENTRY: `./${entries[0]}`, BELAY_PROGRAM: id })) {
    if (file.code.split(mark).length !== 2) throw new Error(`"${mark}" is not once in the first file`);
    file.code = file.code.replace(mark, JSON.stringify(value));
  }
  file.code = readFileSync("src/cli/bundle/launch.sh", "utf8") + file.code;
}
