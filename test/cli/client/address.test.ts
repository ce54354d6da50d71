import { describe, expect, it } from "vitest";
import { parseAddresses } from "../../../src/cli/client/address.ts";

describe("a tracker's address", () => {
  it.each([
    ["http://127.0.0.1:7070", { origin: "http://127.0.0.1:7070", tls: false, host: "127.0.0.1", port: 7070 }],
    ["https://tracker.example", { origin: "https://tracker.example", tls: true, host: "tracker.example", port: 443 }],
    ["http://[::1]:7070/", { host: "::1", port: 7070 }],
    ["unix:/run/belay.sock", { socketPath: "/run/belay.sock", tls: false }],
    ["unix:///run/belay.sock", { socketPath: "/run/belay.sock" }],
  ])("%s is understood", (text, address) => {
    expect(parseAddresses(text)).toMatchObject([address]);
  });

  it("may be several", () => {
    expect(parseAddresses("http://a:1, http://b:2").map((one) => one.host)).toEqual(["a", "b"]);
  });

  it.each([
    ["localhost:7070", `Cannot use --tracker "localhost:7070": it has no scheme; expected http://host:port`],
    ["grpc://a:1", `scheme "grpc" is not known`],
    ["http://", "it is no URL"],
    ["http://a:99999", "it is no URL"],
    ["http://a:1/path", "it goes on after the port"],
    ["http://user:secret@a:1", "credentials belong in --token-file"],
    ["unix:relative", "the socket's path must be absolute"],
    ["", "it is empty"],
    ["http://a:1,", "it is empty"],
  ])("%s is refused with the reason", (text, message) => {
    expect(() => parseAddresses(text)).toThrow(message);
  });
});
