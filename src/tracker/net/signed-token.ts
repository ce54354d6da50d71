import { createSecretKey, randomBytes } from "node:crypto";
import { BelayError } from "../../base/errors.ts";
import { idProblem } from "../../base/ids.ts";

const ALGORITHM = "HS256";
const ISSUER = "belay";
const AUDIENCE = "belay-agent";
/** Shortest key that signs tokens: as long as what HS256 makes of it (RFC 7518, section 3.2). */
const MIN_KEY_BYTES = 32;
/** Seconds that the clocks of signer and tracker may differ. */
const CLOCK_TOLERANCE_S = 5;

/** The claims of a signed token whose signature is valid. */
export interface SignedToken {
  /** The only job that its bearer may run. */
  readonly jobId: string;
  /** The token's own id, which is no secret. */
  readonly id: string;
}

/** Why a signed token is not accepted. */
export interface Unacceptable {
  readonly problem: string;
}

/** Whether a token has the form of a signed one. Ordinary tokens may not have it. */
export function looksSigned(token: string): boolean {
  return /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/.test(token);
}

/**
 * Makes a token with which an agent may run one job, and do nothing else, until it expires. It is a JSON Web Token
 * (RFC 7519), so that a platform can make its own with any library: HS256, `iss` "belay", `aud` "belay-agent", `job`
 * the job's id, `exp`, `jti`.
 *
 * @param lifetime milliseconds
 * @throws BelayError `BAD_USAGE`
 */
export async function signToken(key: string, jobId: string, lifetime: number): Promise<string> {
  checkKey(key);
  const problem = idProblem(jobId);
  if (problem !== undefined) throw new BelayError("BAD_USAGE", `Cannot make a token for job ${problem}`);
  if (!(lifetime >= 1000)) {
    throw new BelayError("BAD_USAGE", `Cannot make a token that expires in ${lifetime} ms: expected 1 s or more`);
  }
  const { SignJWT } = await import("jose");
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ job: jobId })
    .setProtectedHeader({ alg: ALGORITHM })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setJti(randomBytes(8).toString("hex"))
    .setIssuedAt(now)
    .setExpirationTime(now + Math.floor(lifetime / 1000))
    .sign(secret(key));
}

/** Checks a signed token against each of the keys: an old one goes on to count while a new one is brought in. */
export async function verifyToken(keys: readonly string[], token: string): Promise<SignedToken | Unacceptable> {
  const { errors, jwtVerify } = await import("jose");
  for (const key of keys) {
    try {
      const { payload } = await jwtVerify(token, secret(key), {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        audience: AUDIENCE,
        clockTolerance: CLOCK_TOLERANCE_S,
        requiredClaims: ["exp", "jti", "job"],
      });
      const { job, jti } = payload;
      if (typeof job !== "string" || idProblem(job) !== undefined) return { problem: "The token names no job" };
      return { jobId: job, id: String(jti).slice(0, 64) };
    } catch (error) {
      if (error instanceof errors.JWTExpired) return { problem: "The token has expired" };
      if (error instanceof errors.JWTClaimValidationFailed) return { problem: "The token is not one for agents" };
    }
  }
  return { problem: "The token is not known" };
}

/** @throws BelayError `BAD_USAGE` for a key that could be guessed */
export function checkKey(key: string): void {
  const bytes = Buffer.byteLength(key);
  if (bytes >= MIN_KEY_BYTES) return;
  throw new BelayError(
    "BAD_USAGE",
    `Cannot sign tokens with a key of ${bytes} bytes: expected ${MIN_KEY_BYTES} or more, such as "openssl rand -hex 32" gives`,
  );
}

function secret(key: string): ReturnType<typeof createSecretKey> {
  return createSecretKey(key, "utf8");
}
