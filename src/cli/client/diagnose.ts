import type { X509Certificate } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import { errnoOf, messageOf } from "../../base/errors.ts";
import { connectThroughProxy, ProxyError, proxyTo } from "../../base/network/proxy.ts";
import { authorityOf, type TcpAddress, type TrackerAddress } from "../../base/network/tracker-address.ts";
import { isPassing } from "./http-status.ts";
import { HUNG_UP } from "./session.ts";

/** Longest wait for an unknown server's first bytes. Milliseconds. */
const PROBE_TIMEOUT_MS = 2_000;

/** Why a connection failed, as a clause for users, and whether a later attempt may succeed. */
export interface Diagnosis {
  readonly message: string;
  readonly retry: boolean;
}

/**
 * Finds out why an HTTP/2 connection failed, by connecting to the server in other ways. Called only to explain errors.
 */
export async function diagnose(address: TrackerAddress, error: unknown): Promise<Diagnosis> {
  if (error instanceof ProxyError) {
    return { message: error.message, retry: error.status === undefined || isPassing(error.status) };
  }
  const errno = errnoOf(error);
  const waiting = errno === undefined ? undefined : WAITING[errno];
  if (waiting !== undefined) return { message: waiting, retry: true };
  if (address.tls) return diagnoseTls(address, error, errno);
  const proxy = await proxyTo(address);
  // The other ways would bypass the proxy.
  if (proxy !== undefined) return { message: `${messageOf(error)}, through ${proxy.text}`, retry: true };
  return diagnosePlain(address, error);
}

/** Errors that a later attempt may not have: the machine is down or starting. */
const WAITING: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ENOENT: "no such socket",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the host's name cannot be looked up now",
  ETIMEDOUT: "no answer",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the network",
};

async function diagnoseTls(address: TcpAddress, error: unknown, errno: string | undefined): Promise<Diagnosis> {
  const message = messageOf(error);
  if (/wrong version number|packet length too long/i.test(message)) {
    return { message: "it does not speak TLS: use http:// instead of https://", retry: false };
  }
  // An alert comes from the tracker: it does not accept our certificate.
  if (errno !== undefined && !/ALERT/.test(errno) && /CERT|VERIFY|SELF_SIGNED|ISSUER/.test(errno)) {
    const what = await certificateProblem(address, errno);
    return { message: `${what} (${errno})`, retry: false };
  }
  if (/alert/i.test(message) || /ALERT/.test(errno ?? "")) {
    const alert = errno ?? message;
    return {
      message: `it refuses the TLS handshake, perhaps because --cert and --key are missing (${alert})`,
      retry: false,
    };
  }
  return { message, retry: true };
}

async function diagnosePlain(address: TrackerAddress, error: unknown): Promise<Diagnosis> {
  const answer = await readHttpAnswer(address);
  const head = answer.toString("latin1");
  const http = /^HTTP\/1\.\d (\d{3})/.exec(head);
  if (http !== null) {
    if (/plain HTTP request was sent to HTTPS|HTTP request to an HTTPS server/i.test(head)) {
      return { message: "it speaks TLS: use https:// instead of http://", retry: false };
    }
    const type = /^content-type: *([^;\r\n]+)/im.exec(head)?.[1];
    const what = type === undefined ? `status ${http[1]}` : `status ${http[1]} and ${type}`;
    if (isPassing(Number(http[1]))) {
      return { message: `a proxy answers there, but cannot reach its tracker now (HTTP/1.1, ${what})`, retry: true };
    }
    return { message: `a web server that is not a Belay tracker answers there (HTTP/1.1, ${what})`, retry: false };
  }
  // A TLS alert or handshake record, or a TLS handshake that succeeds: this is a TLS server that received plaintext.
  if (answer[0] === 0x15 || answer[0] === 0x16 || (answer.length === 0 && (await speaksTls(address)))) {
    return { message: "it speaks TLS: use https:// instead of http://", retry: false };
  }
  if (answer.length > 0) return { message: "something that is not a Belay tracker answers there", retry: false };
  const reason = messageOf(error);
  const message = reason === HUNG_UP ? "it closed the connection" : `it closed the connection (${reason})`;
  return { message, retry: true };
}

/** First bytes that a server answers to a plain HTTP/1.1 request. Empty: none. */
function readHttpAnswer(address: TrackerAddress): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = net.connect(
      address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port },
    );
    socket.setTimeout(PROBE_TIMEOUT_MS, () => socket.destroy());
    socket.on("connect", () =>
      socket.write(`GET / HTTP/1.1\r\nHost: ${authorityOf(address)}\r\nConnection: close\r\n\r\n`),
    );
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      if (Buffer.concat(chunks).length >= 1024) socket.destroy();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(Buffer.concat(chunks)));
  });
}

async function speaksTls(address: TrackerAddress): Promise<boolean> {
  return address.kind !== "unix" && (await tlsHandshake(address)).spoken;
}

/** Describes what is wrong with the tracker's certificate, with its dates and names. */
async function certificateProblem(address: TcpAddress, errno: string): Promise<string> {
  const { certificate } = await tlsHandshake(address);
  const { instant, namesOf } = await import("../../base/network/certificates.ts");
  const now = new Date();
  switch (errno) {
    case "ERR_TLS_CERT_ALTNAME_INVALID": {
      const names = certificate === undefined ? "another host" : namesOf(certificate);
      return `its certificate is for ${names}, not for ${address.host}`;
    }
    case "CERT_HAS_EXPIRED":
      if (certificate === undefined || certificate.validToDate >= now) return "a certificate in its chain has expired";
      return `its certificate expired on ${instant(certificate.validToDate)}`;
    case "CERT_NOT_YET_VALID":
      if (certificate === undefined || certificate.validFromDate <= now)
        return "a certificate in its chain is not valid yet";
      return `its certificate is not valid before ${instant(certificate.validFromDate)}; the clock here says ${instant(now)}`;
    default:
      return "its certificate is not signed by a known CA: pass the CA with --ca";
  }
}

/** Makes a TLS handshake and sends nothing: it shows whether the server speaks TLS, and its certificate, unverified. */
async function tlsHandshake(
  address: TcpAddress,
): Promise<{ spoken: boolean; certificate?: X509Certificate | undefined }> {
  const tunnel = await connectThroughProxy(address).catch(() => undefined);
  const { host, port } = address;
  const servername = net.isIP(host) === 0 ? host : "";
  return new Promise((resolve) => {
    const socket = tls.connect({
      ...(tunnel && { socket: tunnel }),
      host,
      port,
      servername,
      rejectUnauthorized: false,
    });
    const done = (spoken: boolean, certificate?: X509Certificate): void => {
      resolve({ spoken, certificate });
      socket.destroy();
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => done(false));
    socket.on("secureConnect", () => done(true, socket.getPeerX509Certificate()));
    socket.on("error", (error) => done(/alert/i.test(messageOf(error))));
    socket.on("close", () => done(false));
  });
}
