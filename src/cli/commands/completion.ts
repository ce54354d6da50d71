import { BelayError } from "../../base/errors.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { complete } from "../completion/complete.ts";
import { SCRIPTS } from "../completion/scripts.ts";
import { didYouMean } from "../../base/text/did-you-mean.ts";
import { EXIT_OK } from "../process/exit-codes.ts";

/** `belay completion` */
export const completion: Command = command({
  name: "completion",
  args: [
    { name: "<shell>", help: "bash, zsh or fish", words: Object.keys(SCRIPTS) },
    { name: "[words...]", help: "used by the script: the words typed so far" },
  ],
  about:
    "Prints a script that makes a shell complete commands, flags, and the ids of the jobs that the tracker has at that time.",
  flags: {},
  takesCommandLine: true,
  examples: [
    ["source <(belay completion bash)", "in ~/.bashrc"],
    ["source <(belay completion zsh)", "in ~/.zshrc, after compinit"],
    ["belay completion fish | source", "in ~/.config/fish/config.fish"],
  ],
  run: async ({ args: [shell = "", ...words], io }) => {
    if (shell === "words") {
      // The scripts put `--` before the typed words, so that Belay does not parse the flags among them.
      for (const word of await complete(words.slice(1), io.env)) await io.stdout.write(`${word}\n`);
      return EXIT_OK;
    }
    const script = SCRIPTS[shell];
    if (script === undefined) {
      const near = didYouMean(shell, Object.keys(SCRIPTS));
      throw new BelayError(
        "BAD_USAGE",
        `Cannot complete for "${shell}": expected ${Object.keys(SCRIPTS).join(", ")}${near}`,
      );
    }
    await io.stdout.write(script);
    return EXIT_OK;
  },
});
