// The least cost of open connections: a bare server of node:http2 that sends Welcome to agents and then does nothing.
// It prints its address.
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { OpenSessionResponseSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";

const welcome = toBinary(
  OpenSessionResponseSchema,
  create(OpenSessionResponseSchema, { payload: { case: "welcome", value: {} } }),
);
const frame = Buffer.alloc(5 + welcome.byteLength);
frame.writeUInt32BE(welcome.byteLength, 1);
frame.set(welcome, 5);

const server = createServer();
server.on("stream", (stream) => {
  stream.on("error", () => undefined);
  stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
  stream.write(frame);
  stream.resume();
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
