import { BlockList, isIP } from "node:net";
import type { TcpAddress } from "../tracker-address.ts";

/**
 * Whether a list as in `no_proxy` names an address. Its entries, with commas or blanks between: `*` for all; a name,
 * which stands for its subdomains as well, with or without a dot in front; an IP address; a network such as
 * 10.0.0.0/8. Each but `*` and a network may have a port, and is then for that port only. Names are compared as they
 * are written: nothing is looked up.
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

/** Whether a host is an IP address of a network; IPv4-mapped addresses count as what they map. */
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
