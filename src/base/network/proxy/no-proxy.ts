import { BlockList, isIP } from "node:net";
import type { TcpAddress } from "../tracker-address.ts";

/**
 * Whether a list such as `no_proxy` contains an address. Its entries, separated by commas or blanks: `*` for all
 * addresses; a name, which includes its subdomains, with or without a leading dot; an IP address; a network such as
 * 10.0.0.0/8. Names and IP addresses may have a port, and then apply only to that port. Names are compared as written:
 * nothing is resolved.
 */
export function isExempt(address: Pick<TcpAddress, "host" | "port">, list: string): boolean {
  const host = plain(address.host);
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => entry === "*" || isNamed(host, address.port, entry.toLowerCase()));
}

function isNamed(host: string, port: number, entry: string): boolean {
  const network = /^\[?([\da-f.:]+)\]?\/(\d{1,3})$/.exec(entry);
  if (network !== null) return isWithin(host, network[1] ?? "", Number(network[2]));
  const [, bracketed, bare, ofPort] = /^(?:\[([\da-f.:]+)\]|([^:]+))(?::(\d+))?$/.exec(entry) ?? [];
  if (ofPort !== undefined && Number(ofPort) !== port) return false;
  const name = bracketed ?? bare ?? entry;
  if (isIP(name) !== 0) return isWithin(host, name, isIP(name) === 4 ? 32 : 128);
  const domain = plain(name.replace(/^\*?\./, ""));
  return domain !== "" && (host === domain || host.endsWith(`.${domain}`));
}

/** Whether a host is an IP address in a network; an IPv4-mapped address counts as its IPv4 address. */
function isWithin(host: string, network: string, bits: number): boolean {
  const [kind, of] = [isIP(host), isIP(network)];
  if (kind === 0 || of === 0 || bits > (of === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, bits, of === 4 ? "ipv4" : "ipv6");
  return list.check(host, kind === 4 ? "ipv4" : "ipv6");
}

function plain(host: string): string {
  return host.toLowerCase().replace(/\.$/, "");
}
