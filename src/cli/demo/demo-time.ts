/**
 * How long `belay demo` takes, as README and help say it: 4.9 s were measured on two cores that had nothing else to do.
 * A test compares the text with a run.
 */
export const DEMO_TIME = "about 5 seconds";
