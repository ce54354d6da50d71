/**
 * Whether a later attempt may get another HTTP status: a proxy sends these while its tracker is down or slow, or while
 * it is overloaded. A gRPC server never sends them.
 */
export function isPassing(status: number): boolean {
  return [408, 425, 429].includes(status) || (status >= 500 && status < 600 && ![501, 505].includes(status));
}
