import type { Io } from "../process/io.ts";
import type { Style } from "../render/style.ts";
import { styleOf } from "../render/style.ts";

/** Width of the column with the kind of a line. */
const KIND_WIDTH = 9;

/** Prints the demo: scenes, each with lines that begin with the time since the start of the demo. */
export class DemoPrinter {
  readonly style: Style;
  private readonly io: Io;
  private readonly begin = performance.now();

  constructor(io: Io) {
    this.io = io;
    this.style = styleOf(io.stdout);
  }

  async scene(title: string): Promise<void> {
    await this.io.stdout.write(`\n${this.style.bold(title)}\n`);
  }

  /** Prints a command line that the user could type. */
  async typed(line: string): Promise<void> {
    await this.io.stdout.write(`  ${this.style.cyan(`$ ${line}`)}\n`);
  }

  /** Prints something that arrived at the tracker. */
  async arrived(kind: string, text: string): Promise<void> {
    const seconds = ((performance.now() - this.begin) / 1000).toFixed(2).padStart(6);
    await this.io.stdout.write(
      `  ${this.style.dim(`${seconds}s`)}  ${this.style.dim(kind.padEnd(KIND_WIDTH))} ${text}\n`,
    );
  }

  async text(text: string): Promise<void> {
    await this.io.stdout.write(`${text}\n`);
  }
}
