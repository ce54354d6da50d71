import { expect, it } from "vitest";
import { checkTokenAllowed } from "../../../src/base/network/plaintext-token.ts";
import { parseTrackerAddresses } from "../../../src/base/network/tracker-address.ts";

it.each([
  ["http://10.0.0.1:7070", false, false],
  ["http://tracker.example:7070", undefined, false],
  ["http://127.example.org:7070", false, false],
  ["http://10.0.0.1:7070", true, true],
  ["https://tracker.example:7070", false, true],
  ["http://127.0.0.1:7070", false, true],
  ["http://[::1]:7070", false, true],
  ["http://localhost:7070", false, true],
  ["unix:/run/belay.sock", false, true],
])("A token to %s, insecure %s: allowed is %s", (text, insecure, allowed) => {
  const [address] = parseTrackerAddresses(text);
  const check = (): void => checkTokenAllowed(address!, insecure);
  if (allowed) check();
  else expect(check).toThrow(`Cannot send a token in plaintext to "${address!.text}"`);
  expect.assertions(allowed ? 0 : 1);
});
