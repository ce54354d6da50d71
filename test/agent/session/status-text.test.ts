import { expect, test } from "vitest";
import { statusText } from "../../../src/agent/session/status-text.ts";

const wrapped = (problem: string, remark = ""): string =>
  `No connection established. Last error: ${problem}. Resolution note: ${remark}`;

test.each([
  [
    "what a tracker says stays",
    "Lane of logs: expected sequence 2, found 3",
    "Lane of logs: expected sequence 2, found 3",
  ],
  [
    "the system's own words are taken out of their wrapping",
    wrapped("Error: connect ECONNREFUSED 127.0.0.1:1 (2026-11-22T11:31:49.003Z)"),
    "connect ECONNREFUSED 127.0.0.1:1",
  ],
  [
    "what was found out about a name stays with them",
    wrapped("Error: connect ECONNREFUSED ::1:1", "one address of two"),
    "connect ECONNREFUSED ::1:1 (one address of two)",
  ],
  [
    "a server of something else is called that",
    wrapped("Protocol error (2026-11-22T11:31:55.829Z)"),
    "What answered does not speak HTTP/2",
  ],
  [
    "OpenSSL's words lose their numbers",
    wrapped("Error: 40B7:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:../x.c:80: "),
    "TLS: wrong version number",
  ],
  [
    "a web server is called that",
    "Received HTTP status code 502",
    "A web server or proxy answered with HTTP status 502: is there a tracker behind it?",
  ],
])("%s", (_, details, words) => {
  expect(statusText(details)).toBe(words);
});

test("A page is named by its content type", () => {
  expect(statusText("Received HTTP status code 404", "text/html")).toBe(
    "A web server or proxy answered with HTTP status 404 and text/html: is there a tracker behind it?",
  );
  expect(statusText("", "text/html")).toBe(
    "A web server or proxy answered with text/html: is there a tracker behind it?",
  );
});
