/**
 * How long `belay demo` takes, as README and help state it: 4.9 s were measured on two idle cores. A test compares the
 * text with a run.
 */
export const DEMO_TIME = "about 5 seconds";
