import type { Admin } from "./admin/admin.ts";
import type { AgentFacts } from "./admin/facts.ts";
import type { SafeOptions } from "./without-secrets.ts";

/** The agent's own pages. They stay while one attempt follows another. */
export class OwnPages {
  private admin: Admin | undefined;
  private facts: AgentFacts | undefined;

  /** Serves the pages if the options ask for them, with these facts from now on. Their code is loaded only then. */
  async show(options: SafeOptions, facts: AgentFacts): Promise<void> {
    const { admin, security, onProgress, logger } = options;
    if (admin === undefined) return;
    this.facts = facts;
    if (this.admin !== undefined) return;
    const { serveAdmin } = await import("./admin/admin.ts");
    this.admin = await serveAdmin(
      admin,
      security?.insecure === true,
      latest(() => this.facts ?? facts),
    );
    onProgress?.(`pages of this agent at ${this.admin.address}`);
    logger.info("Serving the agent's pages", { pages: this.admin.address });
  }

  async close(): Promise<void> {
    await this.admin?.close();
  }
}

function latest(facts: () => AgentFacts): AgentFacts {
  return {
    get jobId() {
      return facts().jobId;
    },
    get spool() {
      return facts().spool;
    },
    jobState: () => facts().jobState(),
    session: () => facts().session(),
    streams: () => facts().streams(),
  };
}
