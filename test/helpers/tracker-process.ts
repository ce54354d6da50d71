import { startTracker } from "../../src/tracker/server.ts";

// A tracker in a process of its own, for tests that kill it. Arguments: data directory, listen address.
const tracker = await startTracker({
  dataDirectory: process.argv[2] ?? "",
  listen: process.argv[3] ?? "127.0.0.1:0",
  heartbeatInterval: 1000,
});
process.stdout.write(`${tracker.address}\n`);
