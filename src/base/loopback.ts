import { isIPv4, isIPv6 } from "node:net";

/** Whether a host, as a name or an IP address without brackets, is this machine and nothing else. */
export function isLoopback(host: string): boolean {
  // Not by its beginning alone: "127.example.org" may be anywhere.
  if (isIPv4(host)) return host.startsWith("127.");
  if (isIPv6(host)) return host === "::1";
  return host.toLowerCase() === "localhost";
}
