import { type CallCredentials, ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";
import type { Proxy } from "../../base/network/proxy.ts";
import { openTunnel } from "../../base/network/proxy/tunnel.ts";
import { hostAndPort, type TcpAddress } from "../../base/network/tracker-address.ts";

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/**
 * Credentials for a channel to a proxy: each connection first asks it for a tunnel to the tracker, then goes on as the
 * credentials for the tracker have it. grpc-js knows proxies, too, but by rules of its own, which commands do not share,
 * and reports a failure only as "undefined", beside lines on standard error.
 */
export class TunnelCredentials extends ChannelCredentials {
  private readonly inner: ChannelCredentials;
  private readonly proxy: Proxy;
  private readonly address: TcpAddress;

  constructor(inner: ChannelCredentials, proxy: Proxy, address: TcpAddress) {
    super();
    this.inner = inner;
    this.proxy = proxy;
    this.address = address;
  }

  override _isSecure(): boolean {
    return this.inner._isSecure();
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(_: unknown, options: ChannelOptions, calls?: CallCredentials): Connector {
    const target = { scheme: "dns", path: hostAndPort(this.address) };
    const connector = this.inner._createSecureConnector(target, options, calls);
    return {
      connect: async (socket) => connector.connect(await openTunnel(socket, this.proxy, this.address)),
      waitForReady: () => connector.waitForReady(),
      getCallCredentials: () => connector.getCallCredentials(),
      destroy: () => connector.destroy(),
    };
  }
}
