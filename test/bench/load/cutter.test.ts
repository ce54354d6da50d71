import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { expect, test } from "vitest";
import { Cutter } from "./cutter.ts";

test("a cutter passes bytes on, resets both ends of its connections, and accepts new ones", async () => {
  const server = createServer((socket) => socket.on("error", () => undefined).pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  {
    await using cutter = await Cutter.open(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const { hostname, port } = new URL(cutter.address);
    for (let round = 0; round < 2; round++) {
      const arrived = once(server, "connection");
      const client = connect(Number(port), hostname);
      client.write("there and back");
      expect(String((await once(client, "data"))[0])).toBe("there and back");
      const [far] = await arrived;
      const ends = [client, far].map((socket) =>
        once(socket, "error").then(([error]) => (error as { code: string }).code),
      );
      cutter.cut();
      expect(await Promise.all(ends)).toEqual(["ECONNRESET", "ECONNRESET"]);
    }
  }
  server.close();
  await once(server, "close");
});
