import { startTracker } from "../../src/tracker/server.ts";

// A tracker in its own process, for tests that kill it. Arguments: data directory, listen address, OTLP endpoint.
const [, , dataDirectory = "", listen = "127.0.0.1:0", endpoint] = process.argv;
const tracker = await startTracker({
  dataDirectory,
  listen,
  heartbeatInterval: 1000,
  ...(endpoint === undefined ? {} : { otlp: { endpoint } }),
});
process.stdout.write(`${tracker.address}\n`);
