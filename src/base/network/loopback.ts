import { isIPv4, isIPv6 } from "node:net";

/** `::1`, with a zone or without, and 127.0.0.0/8 as IPv4-mapped addresses. */
const LOOPBACK_V6 = /^(?:0*:)+(?:0*1(?:%.*)?|ffff:(?:127\.[\d.]+|7f[\da-f]{2}:[\da-f]{1,4}))$/i;

/** Whether a host, as a name or an IP address without brackets, can only be this machine. */
export function isLoopback(host: string): boolean {
  // A prefix is not enough: "127.example.org" may be anywhere.
  if (isIPv4(host)) return host.startsWith("127.");
  if (isIPv6(host)) return LOOPBACK_V6.test(host);
  return /^localhost\.?$/i.test(host);
}
