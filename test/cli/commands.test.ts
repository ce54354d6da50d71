import { describe, expect, it } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { flagName, variableName } from "../../src/cli/flags/flags.ts";

describe.each(Object.keys(COMMANDS))("belay %s", (name) => {
  it("carries its own name, says what it does, and shows how to call it", async () => {
    const command = await COMMANDS[name]?.load();
    expect(command?.name).toBe(name);
    expect(command?.about).toMatch(/\.$/);
    expect(command?.examples.length).toBeGreaterThan(0);
    for (const [line] of command?.examples ?? []) expect(line).toContain("belay ");
  });

  it("has flags that are written the same everywhere", async () => {
    const command = await COMMANDS[name]?.load();
    for (const [key, flag] of Object.entries(command?.flags ?? {})) {
      expect(flagName(key)).toMatch(/^--[a-z]+(-[a-z]+)*$/);
      expect(variableName(key, flag)).toMatch(/^BELAY_[A-Z]+(_[A-Z]+)*$/);
      expect(flag.help).not.toMatch(/^[A-Z][a-z]|\.$/);
    }
  });
});

it("an environment variable means the same to every command that heeds it, and is none that jobs are given", async () => {
  const meanings = new Map<string, string>();
  for (const entry of Object.values(COMMANDS)) {
    for (const [key, flag] of Object.entries((await entry.load()).flags)) {
      const variable = variableName(key, flag);
      expect(["BELAY_JOB_ID", "BELAY_ATTEMPT", "BELAY_STEP"]).not.toContain(variable);
      // The default and the wording of these two differ, not what they mean.
      const meaning = ["connectTimeout", "job"].includes(key) ? key : flag.help;
      expect(meanings.get(variable) ?? meaning, variable).toBe(meaning);
      meanings.set(variable, meaning);
    }
  }
});
