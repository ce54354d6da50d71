import type { TransportSecurity } from "../../agent/options.ts";
import type { Flag, Grouped, Values } from "./flags.ts";
import { duration, grouped, text, toggle } from "./flags.ts";

/** Flags of every command that talks to a tracker, the agent's included. */
export type ConnectionFlags = Grouped<{
  tracker: Flag<string>;
  tokenFile: Flag<string | undefined>;
  ca: Flag<string | undefined>;
  cert: Flag<string | undefined>;
  key: Flag<string | undefined>;
  insecure: Flag<boolean>;
}>;

/** See ConnectionFlags. */
export const connectionFlags: ConnectionFlags = grouped("Tracker", {
  tracker: text({
    value: "URL",
    default: "http://127.0.0.1:7070",
    help: "address of the tracker: http://host:port, https://host:port or unix:/path; several, separated by commas, are tried in turn; http_proxy, https_proxy and no_proxy apply (docs/proxies.md)",
  }),
  tokenFile: text({ value: "FILE", help: "file with the token that the tracker expects" }),
  ca: text({
    value: "FILE",
    help: "CA certificates (PEM) that verify the tracker; read again for each connection",
  }),
  cert: text({
    value: "FILE",
    help: "client certificate (PEM); read again for each connection",
  }),
  key: text({ value: "FILE", help: "private key of the client certificate (PEM)" }),
  insecure: toggle({ help: "allow sending the token in plaintext to another machine" }),
});

/** For the commands that deliver records of an agent. */
export const flushTimeout: Flag<number> = duration({
  default: "5m",
  help: "how long to keep trying to deliver remaining records after the job has ended",
});

/** The flags as options of an agent. */
export function securityOf({ tokenFile, ca, cert, key, insecure }: Values<ConnectionFlags>): TransportSecurity {
  return {
    ...(tokenFile !== undefined && { tokenFile }),
    ...(ca !== undefined && { caFile: ca }),
    ...(cert !== undefined && { certFile: cert }),
    ...(key !== undefined && { keyFile: key }),
    insecure,
  };
}
