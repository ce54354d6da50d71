import { expect, test } from "vitest";
import { parseAddresses } from "../../../src/agent/session/address.ts";

test.each([
  ["http://127.0.0.1:7070", { target: "dns:127.0.0.1:7070", tls: false, local: true }],
  ["http://localhost", { target: "dns:localhost:80", tls: false, local: true }],
  ["https://tracker.example.com", { target: "dns:tracker.example.com:443", tls: true, local: false }],
  ["http://[::1]:9", { target: "dns:[::1]:9", tls: false, local: true }],
  ["unix:/run/belay.sock", { target: "unix:/run/belay.sock", tls: false, local: true }],
  ["unix:///run/belay.sock", { target: "unix:/run/belay.sock", tls: false, local: true }],
])("%s is understood", (text, expected) => {
  expect(parseAddresses(text)).toEqual([{ text, ...expected }]);
});

test("several addresses stand with commas between", () => {
  expect(parseAddresses("http://a:1, https://b").map((address) => address.target)).toEqual(["dns:a:1", "dns:b:443"]);
});

test.each([
  "",
  ",",
  "localhost:7070",
  "ftp://host",
  "http://",
  "http://user:secret@host",
  "http://host/path",
  "unix:relative",
  "http://host:99999",
])("%j is refused, and the message teaches", (text) => {
  expect(() => parseAddresses(text)).toThrow(/^Cannot parse the tracker's address ".*": expected /);
});
