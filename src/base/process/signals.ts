import { constants } from "node:os";

/** First real-time signal that programs may use: the C library reserves 32 and 33. */
const RTMIN = 34;
/** The last signal of Linux. */
const RTMAX = 64;
/** The first signal for which Node has no name. */
const FIRST_UNNAMED = 32;

/** A signal for which Node has no name. */
type RealTimeSignal = "SIG32" | "SIG33" | "SIGRTMIN" | `SIGRTMIN+${number}`;

/** The name of a signal, as in "SIGTERM" or "SIGRTMIN+3". */
export type Signal = NodeJS.Signals | RealTimeSignal;

/** Names a signal from 32 to 64; undefined for any other number. */
export function realTimeSignal(number: number): RealTimeSignal | undefined {
  if (number < FIRST_UNNAMED || number > RTMAX) return undefined;
  if (number === 32 || number === 33) return `SIG${number}`;
  return number === RTMIN ? "SIGRTMIN" : `SIGRTMIN+${number - RTMIN}`;
}

/** The number of the signal with this name, or undefined if this system has no such signal. */
export function signalNumber(name: string): number | undefined {
  if (Object.hasOwn(constants.signals, name)) return constants.signals[name as NodeJS.Signals];
  if (process.platform !== "linux") return undefined;
  const [, bare, base, plus, minus] = /^SIG(?:(3[23])|(RTMIN|RTMAX)(?:\+(\d{1,2})|-(\d{1,2}))?)$/.exec(name) ?? [];
  if (bare !== undefined) return Number(bare);
  if (base === undefined) return undefined;
  const number = (base === "RTMIN" ? RTMIN : RTMAX) + Number(plus ?? 0) - Number(minus ?? 0);
  return number >= RTMIN && number <= RTMAX ? number : undefined;
}

/** Finds the signal that a user names as "SIGTERM", "TERM", "term" or "rtmax-1". */
export function findSignal(text: string): Signal | undefined {
  const upper = text.trim().toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const number = signalNumber(name);
  return number === undefined ? undefined : (realTimeSignal(number) ?? (name as NodeJS.Signals));
}
