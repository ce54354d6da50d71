import {
  bytes,
  group,
  listOfTexts,
  milliseconds,
  oneOf,
  pem,
  required,
  type Rule,
  type Rules,
  someLogger,
  text,
  texts,
  timerMilliseconds,
  whole,
  yesOrNo,
} from "../base/options.ts";
import type {
  OtlpOptions,
  RetentionOptions,
  TrackerLimits,
  TrackerOptions,
  TrackerTls,
  TrackerTokens,
} from "./options.ts";

/** The highest number that HTTP/2 and the system can count. */
const MOST = 2 ** 31 - 1;
const atLeastOne = whole(`a whole number, 1 to ${MOST}`, 1, MOST);
const zeroOrMore = whole("a whole number, 0 or more");

const tls: Rule = group<TrackerTls>({ cert: required(pem), key: required(pem), clientCa: pem });

const tokens: Rule = group<TrackerTokens>({
  agent: required(listOfTexts("a list of tokens")),
  operator: required(listOfTexts("a list of tokens")),
  keys: listOfTexts("a list of keys"),
});

const limits = group<TrackerLimits>({
  connections: atLeastOne,
  streams: atLeastOne,
  agentsPerClient: zeroOrMore,
  callsPerClient: zeroOrMore,
  callsPerSecond: zeroOrMore,
  specBytes: atLeastOne,
  headersTimeout: timerMilliseconds(1),
  requestTimeout: timerMilliseconds(1),
});

/** The rules of a tracker's options. */
export const TRACKER_RULES: Rules<TrackerOptions> = {
  listen: text('an address such as "127.0.0.1:7070"'),
  dataDirectory: required(text("the path of a directory")),
  heartbeatInterval: milliseconds(),
  lease: milliseconds(),
  lostTimeout: milliseconds(),
  keepaliveInterval: milliseconds(),
  tls,
  tokens,
  limits,
  cors: listOfTexts('a list of origins such as ["https://ci.example.org"]'),
  durability: oneOf("process", "disk"),
  retention: group<RetentionOptions>({ age: milliseconds(), bytes, interval: milliseconds(1) }),
  logLimit: bytes,
  otlp: group<OtlpOptions>({
    endpoint: required(text('a URL such as "http://127.0.0.1:4318"')),
    headers: texts("an object whose values are texts"),
    timeout: timerMilliseconds(10),
    metricsInterval: timerMilliseconds(0),
  }),
  insecure: yesOrNo,
  drainTimeout: milliseconds(),
  logger: someLogger,
};

/** The rules of the options that a running tracker accepts. */
export const RELOAD_RULES: Rules<{ tls?: TrackerTls; tokens?: TrackerTokens }> = { tls, tokens };
