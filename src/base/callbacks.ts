import { isObject } from "./options.ts";

type AnyFunction = (...args: never[]) => unknown;

/**
 * Calls functions of the surrounding program, which may fail.
 *
 * Law: a function that has thrown, or whose promise was rejected, is never called again, and its failure is reported
 * once; the caller goes on as if the function did not exist.
 */
export class Callbacks {
  private readonly failed: (name: string, error: unknown) => void;

  /** @param failed must not throw */
  constructor(failed: (name: string, error: unknown) => void) {
    this.failed = failed;
  }

  /**
   * Wraps a function so that it does not throw and its promise is not rejected.
   *
   * @param name name of the function in a report
   */
  guard<F extends AnyFunction>(name: string, call: F): (...args: Parameters<F>) => Promise<void> | undefined {
    let broken = false;
    const fail = (error: unknown): void => {
      if (broken) return;
      broken = true;
      this.failed(name, error);
    };
    return (...args) => {
      if (broken) return undefined;
      try {
        const result = call(...args);
        if (!isObject(result) || !("then" in result)) return undefined;
        return Promise.resolve(result).then(() => undefined, fail);
      } catch (error) {
        fail(error);
        return undefined;
      }
    };
  }

  /** The same for a function that returns a value: once it has failed, the result is `otherwise`. */
  ask<A extends unknown[], T>(name: string, call: (...args: A) => T, otherwise: T): (...args: A) => T {
    let value = otherwise;
    const guarded = this.guard(name, (...args: A) => {
      value = call(...args);
    });
    return (...args) => {
      value = otherwise;
      void guarded(...args);
      return value;
    };
  }
}
