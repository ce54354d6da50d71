import type { WhenOver } from "./caller.ts";

/** How many calls each client has under way, on all its connections together. */
export class CallLimit {
  private readonly most: number;
  private readonly underWay = new Map<string, number>();

  /** @param most 0: as many as they like */
  constructor(most: number) {
    this.most = most;
  }

  /**
   * Takes a place for a call; it is given back when the call is over.
   *
   * @param most of this client, if that is less than others may have
   * @returns how many there may be, if all are taken; undefined: it may go ahead
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
