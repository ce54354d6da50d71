import type { TransportSecurity } from "../../agent/options.ts";
import type { Flag, Values } from "./flags.ts";
import { duration, grouped, text, toggle } from "./flags.ts";

/** Flags of every command that talks to a tracker, the agent's included. */
export type ConnectionFlags = {
  tracker: Flag<string>;
  tokenFile: Flag<string | undefined>;
  ca: Flag<string | undefined>;
  cert: Flag<string | undefined>;
  key: Flag<string | undefined>;
  insecure: Flag<boolean>;
};

/** See ConnectionFlags. */
export const connectionFlags: ConnectionFlags = grouped("The tracker:", {
  tracker: text({
    value: "URL",
    default: "http://127.0.0.1:7070",
    help: "where the tracker is: http://host:port, https://host:port or unix:/path; several with commas are tried in turn; http_proxy, https_proxy and no_proxy count (docs/proxies.md)",
  }),
  tokenFile: text({ value: "FILE", help: "file with the token to show to the tracker" }),
  ca: text({
    value: "FILE",
    help: "PEM file of the authorities that may vouch for the tracker; read again for each connection",
  }),
  cert: text({
    value: "FILE",
    help: "PEM file of the certificate to show to the tracker; read again for each connection",
  }),
  key: text({ value: "FILE", help: "PEM file of that certificate's private key" }),
  insecure: toggle({ help: "allow sending the token in plaintext to another machine" }),
});

/** For those who deliver what an agent has to tell. */
export const flushTimeout: Flag<number> = duration({
  default: "5m",
  help: "how long to go on delivering when the job has ended",
});

/** What the flags say, as an agent takes it. */
export function securityOf({ tokenFile, ca, cert, key, insecure }: Values<ConnectionFlags>): TransportSecurity {
  return {
    ...(tokenFile !== undefined && { tokenFile }),
    ...(ca !== undefined && { caFile: ca }),
    ...(cert !== undefined && { certFile: cert }),
    ...(key !== undefined && { keyFile: key }),
    insecure,
  };
}
