import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";

/** A request of HTTP/1.1 or HTTP/2. */
export type AnyRequest = IncomingMessage | Http2ServerRequest;
/** A response of HTTP/1.1 or HTTP/2. */
export type AnyResponse = ServerResponse | Http2ServerResponse;

/** Answers with a line of text. */
export function sendText(
  response: AnyResponse,
  status: number,
  text: string,
  more: Readonly<Record<string, string>> = {},
): void {
  const headers = { "content-type": "text/plain; charset=utf-8", ...more };
  if ("stream" in response) response.writeHead(status, headers);
  else response.writeHead(status, headers);
  response.end(`${text}\n`);
}
