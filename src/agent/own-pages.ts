import type { Admin } from "./admin/admin.ts";
import type { AgentFacts } from "./admin/facts.ts";
import type { SafeOptions } from "./without-secrets.ts";

/** Serves the agent's own pages if the options ask for them. The code that does so is loaded only then. */
export async function serveOwnPages(options: SafeOptions, facts: AgentFacts): Promise<Admin | undefined> {
  const { admin, security, onProgress, logger } = options;
  if (admin === undefined) return undefined;
  const { serveAdmin } = await import("./admin/admin.ts");
  const served = await serveAdmin(admin, security?.insecure === true, facts);
  onProgress?.(`pages of this agent at ${served.address}`);
  logger.info("Serving the agent's pages", { pages: served.address });
  return served;
}
