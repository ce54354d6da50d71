import type { AnyRequest, AnyResponse } from "../http.ts";

/** Counts the calls of all connections whose answer has not ended. */
export class CallsUnderWay {
  private count = 0;
  private waiting: (() => void)[] = [];

  /** The same function, with its calls counted. */
  counted(
    handle: (request: AnyRequest, response: AnyResponse) => void,
  ): (request: AnyRequest, response: AnyResponse) => void {
    return (request, response) => {
      this.count++;
      response.once("close", () => {
        if (--this.count === 0) for (const go of this.waiting.splice(0)) go();
      });
      handle(request, response);
    };
  }

  /** Resolves when no call is under way. */
  whenNone(): Promise<void> {
    return this.count === 0 ? Promise.resolve() : new Promise((resolve) => this.waiting.push(resolve));
  }
}
