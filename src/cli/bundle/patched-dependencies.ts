import { readFileSync } from "node:fs";
import { readyDescriptors } from "./ready-descriptors.ts";

/** The part of a bundler's plugin that is used; Rollup's and rolldown's are alike. */
interface Plugin {
  readonly name: string;
  resolveId?(id: string, importer?: string): string | undefined;
  load?(id: string): string | undefined;
  transform?(code: string, id?: string): string | undefined;
}

/** The versions for whose files the patches below were written. */
const PATCHED: Readonly<Record<string, string>> = {
  "@bufbuild/protobuf": "2.17.0",
  "@grpc/grpc-js": "1.14.7",
};

/** Servers, and load balancing by the load that servers report: a quarter of grpc-js. */
const GRPC_LEFT_OUT: readonly string[] = [
  "./server",
  "./server-credentials",
  "./server-interceptors",
  "./orca",
  "./load-balancer-weighted-round-robin",
];
const LAZY_ZLIB = "\0zlib-when-needed";
const LAZY_ZLIB_CODE = `
let zlib;
module.exports = new Proxy({}, { get: (_, name) => (zlib ??= require("node:zlib"))[name] });
`;
const QUICK_IP = "\0net-with-quick-ip";
const QUICK_IP_CODE = `
const net = require("node:net");
module.exports = Object.create(net, { isIPv6: { value: (text) => String(text).includes(":") && net.isIPv6(text) } });
`;

/**
 * The patches that the bundle applies to its packages: together they save 18 ms of an agent's start. Each patch names
 * files or texts of one version of a package, so that version is pinned in package.json and asserted here.
 *
 * @throws Error if another version is installed
 */
export function patchedDependencies(): Plugin[] {
  checkVersions(installedVersion);
  return [
    readyDescriptors(),
    {
      name: "no-proto-loader",
      // grpc-js loads it for channelz and ORCA services, which need a server: a third of the code that an agent loads.
      resolveId: (id) => (id === "@grpc/proto-loader" ? `\0${id}` : undefined),
      load: (id) =>
        id === "\0@grpc/proto-loader" ? `throw new Error("Not part of the command line: ${id}");` : undefined,
    },
    {
      name: "quick-ip",
      // grpc-js calls isIPv6 for each address, for which Node compiles a large regular expression: 4 ms of an agent's
      // start. Here, a colon in the address decides.
      resolveId: (id, importer) => (id === "net" && /@grpc\/grpc-js/.test(importer ?? "") ? QUICK_IP : undefined),
      load: (id) => (id === QUICK_IP ? QUICK_IP_CODE : undefined),
    },
    {
      name: "grpc-client-only",
      resolveId: (id, importer) =>
        GRPC_LEFT_OUT.includes(id) && /@grpc\/grpc-js\/build\/src\/index/.test(importer ?? "") ? `\0${id}` : undefined,
      load: (id) => (GRPC_LEFT_OUT.includes(id.slice(1)) ? "exports.setup = () => undefined;" : undefined),
    },
    {
      name: "lazy-zlib",
      // grpc-js loads it for compressed messages, which are rare.
      resolveId: (id, importer) => (id === "zlib" && /@grpc\/grpc-js/.test(importer ?? "") ? LAZY_ZLIB : undefined),
      load: (id) => (id === LAZY_ZLIB ? LAZY_ZLIB_CODE : undefined),
    },
  ];
}

/**
 * Fails for a version for which the patches were not written.
 *
 * @param versionOf the installed version of a package
 * @throws Error that names the package and both versions
 */
export function checkVersions(versionOf: (name: string) => string): void {
  for (const [name, wanted] of Object.entries(PATCHED)) {
    const found = versionOf(name);
    if (found === wanted) continue;
    throw new Error(
      `Cannot bundle ${name} ${found}: src/cli/bundle patches ${wanted}; look through each patch, then change PATCHED`,
    );
  }
}

function installedVersion(name: string): string {
  const file = new URL(`../../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
