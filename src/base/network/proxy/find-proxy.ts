import { BelayError } from "../../errors.ts";
import type { Environment, Proxy } from "../proxy.ts";
import { hostAndPort, type TcpAddress } from "../tracker-address.ts";
import { isExempt } from "./no-proxy.ts";

/**
 * Finds the proxy for an address as curl does. The first variable that is set and not empty counts, lower case before
 * upper case: `grpc_proxy`, then the one of the address's scheme, then `all_proxy`. `no_grpc_proxy` or `no_proxy` lists
 * addresses without a proxy. `HTTP_PROXY` in upper case does not count in a CGI program, where a client can set it.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function findProxy(address: TcpAddress, environment: Environment): Proxy | undefined {
  const found = firstOf(["grpc_proxy", address.tls ? "https_proxy" : "http_proxy", "all_proxy"], environment);
  if (found === undefined) return undefined;
  const exempt = firstOf(["no_grpc_proxy", "no_proxy"], environment);
  if (exempt !== undefined && isExempt(address, exempt.value)) return undefined;
  return parseProxy(found.value, found.name);
}

interface Variable {
  readonly name: string;
  readonly value: string;
}

function firstOf(names: readonly string[], environment: Environment): Variable | undefined {
  for (const lower of names) {
    for (const name of [lower, lower.toUpperCase()]) {
      const value = environment[name]?.trim() ?? "";
      if (value === "" || (name === "HTTP_PROXY" && environment["REQUEST_METHOD"] !== undefined)) continue;
      return { name, value };
    }
  }
  return undefined;
}

function parseProxy(value: string, variable: string): Proxy {
  const text = /^[a-z][a-z\d+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const shown = url === undefined ? value.replace(/^.*@/, "") : `${url.protocol}//${url.host}`;
  if (url === undefined || url.protocol !== "http:" || url.hostname === "") {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use the proxy "${shown}" of ${variable}: expected http://host:port; no_proxy names ` +
        "trackers that are reached without a proxy",
    );
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? 80 : Number(url.port);
  const user = `${decoded(url.username)}:${decoded(url.password)}`;
  return {
    host,
    port,
    authorization: user === ":" ? undefined : `Basic ${Buffer.from(user).toString("base64")}`,
    text: `the proxy http://${hostAndPort({ host, port })} of ${variable}`,
  };
}

/** Decodes percent-encoding. Other percent signs stay. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
