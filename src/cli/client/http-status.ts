/**
 * Whether an HTTP status may pass with time: a proxy whose tracker is away or slow, or that is overloaded.
 * gRPC has no such statuses of its own.
 */
export function isPassing(status: number): boolean {
  return [408, 425, 429].includes(status) || (status >= 500 && status < 600 && ![501, 505].includes(status));
}
