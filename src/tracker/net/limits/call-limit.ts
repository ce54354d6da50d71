import type { WhenOver } from "../caller.ts";

/** How many calls each client has under way, on all its connections together. */
export class CallLimit {
  private readonly most: number;
  private readonly underWay = new Map<string, number>();

  /** @param most most calls of one client at a time. 0: no limit */
  constructor(most: number) {
    this.most = most;
  }

  /**
   * Counts a call, until it is over, if the client may make it.
   *
   * @param most of this client, if that is less than others may have
   * @returns the limit, if it is reached; undefined: the call was accepted
   */
  accept(client: string, whenOver: WhenOver, most: number = this.most): number | undefined {
    const allowed = Math.min(most || Infinity, this.most || Infinity);
    const count = this.underWay.get(client) ?? 0;
    if (count >= allowed) return allowed;
    this.underWay.set(client, count + 1);
    whenOver(() => this.release(client));
    return undefined;
  }

  private release(client: string): void {
    const left = (this.underWay.get(client) ?? 0) - 1;
    if (left > 0) this.underWay.set(client, left);
    else this.underWay.delete(client);
  }
}
