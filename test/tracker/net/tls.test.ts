import { createClient } from "@connectrpc/connect";
import { credentials } from "@grpc/grpc-js";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { request } from "node:https";
import { describe, expect, test } from "vitest";
import { JobService } from "../../../src/gen/belay/v1/job_service_pb.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";
import { certificate, noOpenssl } from "../../helpers/certificate.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

// Without openssl there is nothing to make a certificate with.
describe.skipIf(noOpenssl)("With TLS", () => {
  test("one port speaks HTTP/2 and HTTP/1.1, as the client wishes", async () => {
    const { cert, key } = certificate("tracker");
    const { address } = await testTracker({ tls: { cert, key } });
    expect(address).toMatch(/^https:/);
    const client = createClient(JobService, createGrpcTransport({ baseUrl: address, nodeOptions: { ca: cert } }));
    expect((await client.listJobs({})).jobs).toEqual([]);
    const status = await new Promise((resolve, reject) => {
      request(`${address}/healthz`, { ca: cert }, (response) => resolve(response.resume().statusCode))
        .on("error", reject)
        .end();
    });
    expect(status).toBe(200);
  });

  test("a client without a certificate is refused where one is asked for; its name is recorded with one", async () => {
    const server = certificate("tracker");
    const agent = certificate("worker-7");
    const { address } = await testTracker({ tls: { ...server, clientCa: agent.cert } });
    const bare = createClient(JobService, createGrpcTransport({ baseUrl: address, nodeOptions: { ca: server.cert } }));
    await expect(bare.listJobs({})).rejects.toThrow();
    const nodeOptions = { ca: server.cert, cert: agent.cert, key: agent.key };
    const known = createClient(JobService, createGrpcTransport({ baseUrl: address, nodeOptions }));
    const proof = credentials.createSsl(server.cert, agent.key, agent.cert);
    await ScriptedAgent.connect({ url: address, jobId: "j", credentials: proof }).hello({ spec: someSpec });
    expect((await known.getJob({ jobId: "j" })).job?.attempts[0]?.principal).toBe("worker-7");
  });

  test("limits on a client count for the name in its certificate, wherever it calls from", async () => {
    const server = certificate("tracker");
    const agent = certificate("worker-7");
    const tls = { ...server, clientCa: agent.cert };
    const { address } = await testTracker({ tls, limits: { agentsPerClient: 1 } });
    const proof = credentials.createSsl(server.cert, agent.key, agent.cert);
    await ScriptedAgent.connect({ url: address, jobId: "j1", credentials: proof }).hello({ spec: someSpec });
    const second = ScriptedAgent.connect({ url: address, jobId: "j2", credentials: proof });
    second.sayHello({ spec: someSpec });
    expect((await second.ended).details).toMatch(/^More than 1 agents' streams open by worker-7: /);
  });

  test("other certificates count for connections from then on; ones that cannot be used change nothing", async () => {
    const first = certificate("first");
    const second = certificate("second");
    const { address, tracker } = await testTracker({ tls: first });
    const list = (ca: Buffer): Promise<unknown> =>
      createClient(JobService, createGrpcTransport({ baseUrl: address, nodeOptions: { ca } })).listJobs({});
    await list(first.cert);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j", credentials: credentials.createSsl(first.cert) });
    await agent.hello({ spec: someSpec });
    expect(() => tracker.reload({ tls: { cert: Buffer.from("none"), key: second.key } })).toThrow(/Cannot use the TLS/);
    await list(first.cert);
    tracker.reload({ tls: second });
    await list(second.cert);
    await expect(list(first.cert)).rejects.toThrow();
    agent.beat(1n);
    expect((await agent.next("heartbeatReply")).nonce).toBe(1n);
  });
});
