import { readFile } from "node:fs/promises";
import { Client, type ClientDuplexStream, credentials, type ChannelCredentials, Metadata } from "@grpc/grpc-js";
import { BelayError, messageOf } from "../../base/errors.ts";
import { grpcMethod, type Sendable } from "../../base/network/grpc-service.ts";
import { MiB } from "../../base/text/sizes.ts";
import { CLIENT_FLAGS, proofOf } from "../../base/network/proof.ts";
import { proxyTo } from "../../base/network/proxy.ts";
import { checkTokenAllowed } from "../../base/network/plaintext-token.ts";
import { authorityOf, hostAndPort, type TrackerAddress } from "../../base/network/tracker-address.ts";
import {
  type OpenSessionRequest,
  type OpenSessionResponse,
  TrackerService,
} from "../../gen/belay/v1/tracker_service_pb.ts";
import type { TransportSecurity } from "../options.ts";

/** Largest message that the agent accepts. */
export const MAX_MESSAGE_BYTES: number = 4 * MiB;

/** The two directions of one call. */
export type SessionCall = ClientDuplexStream<Sendable<OpenSessionRequest>, OpenSessionResponse>;

/** One call on a channel of its own. */
export interface Dialed {
  readonly call: SessionCall;
  /** The proxy that it goes through, for users. */
  readonly proxy: string | undefined;
  /** Resolves when the transport is up; rejects when it is not after some milliseconds. */
  connected(ms: number): Promise<void>;
  /** Ends the call, if it has not ended, and closes the channel. */
  close(): void;
}

const METHOD = grpcMethod(TrackerService.method.openSession);

/**
 * Makes a call to a tracker. A channel of its own for each, so that its name is resolved afresh and no back-off of an
 * earlier one is inherited.
 *
 * @throws BelayError `BAD_USAGE` when the token may not be sent or read, or a certificate or proxy cannot be used
 */
export async function dial(address: TrackerAddress, security: TransportSecurity, version: string): Promise<Dialed> {
  const metadata = new Metadata();
  if (security.tokenFile !== undefined) {
    checkTokenAllowed(address, security.insecure);
    metadata.set("authorization", `Bearer ${await readToken(security.tokenFile)}`);
  }
  const proxy = await proxyTo(address);
  let target = targetOf(address);
  let proof = channelCredentials(address, await readAgain(security));
  if (proxy !== undefined && address.kind === "tcp") {
    const { TunnelCredentials } = await import("./tunnel-credentials.ts");
    target = `dns:${hostAndPort(proxy)}`;
    proof = new TunnelCredentials(proof, proxy, address);
  }
  const client = new Client(target, proof, {
    // Its rules differ from those of the commands: see proxyTo.
    "grpc.enable_http_proxy": 0,
    "grpc.default_authority": authorityOf(address),
    "grpc.enable_retries": 0,
    // Its default confirms writes a mebibyte early.
    "grpc.per_rpc_retry_buffer_size": 0,
    "grpc.enable_channelz": 0,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.service_config_disable_resolution": 1,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.primary_user_agent": `belay-agent/${version}`,
  });
  const call = client.makeBidiStreamRequest(METHOD.path, METHOD.requestSerialize, METHOD.responseDeserialize, metadata);
  // grpc-js emits errors even after the last read; without a listener they would end the process.
  call.on("error", () => undefined);
  return {
    call,
    proxy: proxy?.text,
    connected: (ms) =>
      new Promise((resolve, reject) => {
        client.waitForReady(Date.now() + ms, (error) => (error === undefined ? resolve() : reject(error)));
      }),
    close: () => {
      call.cancel();
      client.close();
    },
  };
}

/** Reads a token file; white space around the token does not count. */
export async function readToken(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot read --token-file "${path}": ${messageOf(error)}`, { cause: error });
  }
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new BelayError("BAD_USAGE", `Cannot use --token-file "${path}": expected one line of printable ASCII`);
  }
  return token;
}

/** What proves the agent's and the tracker's identity, as its files are now. */
async function readAgain(security: TransportSecurity): Promise<TransportSecurity> {
  const { caFile: ca, certFile: cert, keyFile: key } = security;
  return { ...security, ...(await proofOf({ ca, cert, key }, CLIENT_FLAGS)) };
}

/** As grpc-js writes it. */
function targetOf(address: TrackerAddress): string {
  return address.kind === "unix" ? `unix:${address.path}` : `dns:${hostAndPort(address)}`;
}

function channelCredentials(address: TrackerAddress, security: TransportSecurity): ChannelCredentials {
  if (!address.tls) return credentials.createInsecure();
  const { ca = null, key = null, cert = null } = security;
  return credentials.createSsl(ca, key, cert, { rejectUnauthorized: true });
}
