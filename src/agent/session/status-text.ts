/**
 * Why a call ended, as a sentence for users. The one place that knows the messages of grpc-js.
 *
 * @param details as grpc-js has them
 * @param contentType of an answer that was not gRPC
 */
export function statusText(details: string, contentType?: string): string {
  const status = /^Received HTTP status code (\d+)$/.exec(details)?.[1];
  if (contentType !== undefined || status !== undefined) return webServer(status, contentType);
  const { problem, remark } = unwrapped(details);
  // OpenSSL's messages come with numbers and source lines around them.
  const tls = /error:[0-9A-F]+:SSL routines:[^:]*:([^:]+):/.exec(problem);
  if (tls !== null) return `TLS: ${tls[1]}`;
  const plain = WORDS[problem] ?? problem;
  return remark === "" ? plain : `${plain} (${remark})`;
}

/** What the error codes of HTTP/2 mean here. */
const WORDS: Readonly<Record<string, string>> = {
  "Protocol error": "What answered does not speak HTTP/2",
  "Failed to connect": "The connection was closed before anything was said",
  "Call cancelled": "The stream was reset (CANCEL)",
  "Bandwidth exhausted or memory limit exceeded": "The stream was reset (ENHANCE_YOUR_CALM)",
  "Received RST_STREAM with code 2 (Internal server error)": "The stream was reset (INTERNAL_ERROR)",
  "certificate has expired": "The tracker's certificate has expired",
  "certificate is not yet valid": "The tracker's certificate is not valid yet, by the clock here",
  "Stream refused by server": "The stream was refused (REFUSED_STREAM)",
};

/** An answer of HTTP without gRPC in it. */
function webServer(status: string | undefined, contentType: string | undefined): string {
  const found = [status !== undefined && `HTTP status ${status}`, contentType].filter(Boolean);
  return `A web server or proxy answered with ${found.join(" and ")}: is there a tracker behind it?`;
}

/**
 * "No connection established. Last error: Error: PROBLEM (2026-11-22T12:00:00.000Z). Resolution note: REMARK", and
 * what it is without the wrapping.
 */
function unwrapped(details: string): { problem: string; remark: string } {
  const [, problem = details, remark = ""] =
    /Last error: (?:\w*Error: )?(.*?)\.? ?Resolution note: ?(.*)$/s.exec(details) ?? [];
  return { problem: withoutTime(problem), remark: withoutTime(remark) };
}

function withoutTime(text: string): string {
  return text.replace(/ ?\(\d{4}-\d\d-\d\dT[\d:.]+Z\)/, "");
}
