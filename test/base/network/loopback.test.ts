import { expect, test } from "vitest";
import { isLoopback } from "../../../src/base/network/loopback.ts";

test.each([
  "localhost",
  "LOCALHOST",
  "localhost.",
  "127.0.0.1",
  "127.42.0.9",
  "::1",
  "0:0:0:0:0:0:0:1",
  "::1%lo",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
])("%s is this machine", (host) => {
  expect(isLoopback(host)).toBe(true);
});

test.each([
  "127.example.org",
  "localhost.example.org",
  "0.0.0.0",
  "::",
  "10.0.0.1",
  "128.0.0.1",
  "",
  "1::1",
  "::2",
  "::ffff:10.0.0.1",
  "::ffff:7e00:1",
  "0:ffff:7f00::1",
  "::127.0.0.1",
])("%j may be another one", (host) => {
  expect(isLoopback(host)).toBe(false);
});
