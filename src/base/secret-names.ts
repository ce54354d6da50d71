/**
 * Ends of names whose values are credentials, as GitHub Actions, Buildkite (`BUILDKITE_REDACTED_VARS`), GitLab and
 * gitleaks know them. They are compared without regard to case, after an underscore or as the whole name, with a number
 * behind them or none.
 */
const ENDINGS = [
  // npm, GitHub, GitLab, Slack, Hugging Face, Vault, our own BELAY_TOKEN …; AWS_SESSION_TOKEN
  "TOKEN",
  "PAT",
  "JWT",
  // *_API_KEY, *_ACCESS_KEY, *_PRIVATE_KEY, AWS_SECRET_ACCESS_KEY, SSH_KEY, AZURE_STORAGE_ACCOUNT_KEY
  "KEY",
  "APIKEY",
  // Key ids are half of a credential and name an account: AWS_ACCESS_KEY_ID
  "ACCESS_KEY_ID",
  // *_CREDENTIALS hold JSON as often as a path; a path is seen by its form
  "CREDENTIALS",
  "CREDENTIAL",
  "CREDS",
  // SMTP_AUTH, NPM_CONFIG__AUTH; DOCKER_AUTH_CONFIG is JSON with passwords
  "AUTH",
  "AUTH_CONFIG",
  "AUTHORIZATION",
  // Of GPG and SSH keys
  "PASSPHRASE",
  // MYSQL_PWD; PWD and OLDPWD themselves are directories
  "PWD",
  // Sentry's and others' addresses are a credential in themselves, as is a connection string
  "DSN",
  "CONNECTION_STRING",
  // Slack's and Teams' addresses: who has one may post
  "WEBHOOK",
  "WEBHOOK_URL",
  // Session cookies; signing and hashing
  "COOKIE",
  "SALT",
];

/** Words that make a name's value a credential wherever they stand in it. */
const WORDS = ["PASSWORD", "PASSWD", "SECRET", "PRIVATE_KEY", "PRIVATEKEY"];

/** Ends of names that say where something is, or what it is called, not what it is. */
const PLACES = ["FILE", "PATH", "DIR", "DIRECTORY", "NAME", "ARN", "SOCK", "LENGTH", "TTL", "EXPIRATION"];

/** Names that match and yet hold no credential. */
const HARMLESS = new Set(["PWD", "OLDPWD", "GOOGLE_APPLICATION_CREDENTIALS", "BELAY_COOKIE"]);

const SECRET = new RegExp(`(?:^|_)(?:${ENDINGS.join("|")})_?\\d*$|${WORDS.join("|")}`, "i");
const PLACE = new RegExp(`_(?:${PLACES.join("|")})$`, "i");

/** Whether a variable of this name usually holds a credential. */
export function looksSecret(name: string): boolean {
  return SECRET.test(name) && !PLACE.test(name) && !HARMLESS.has(name.toUpperCase());
}

/** Values that stand in such variables and in most logs. */
const COMMON = new Set(
  (
    "access apikey bearer changeme default disable disabled enable enabled example external github gitlab hidden " +
    "inherit internal localhost masked nobody optional password placeholder postgres private public redacted required " +
    "secret secrets testing undefined unknown true false yes no on off none null nil"
  ).split(" "),
);
/** A shorter number is a count, a size, a port or a date sooner than a credential. Digits. */
const SHORTEST_NUMBER = 10;
/** A path, as far as its form tells: base64 has upper case letters too, and no dots. */
const PATH = /^(?:~|\.{1,2})?(?:\/[a-z0-9._-]+){2,}\/?$|^(?:~|\.{1,2})\/[\w./-]*$/;

/** Whether a value is what many variables hold, so that to remove it would only harm the log. */
export function isCommonplace(value: string): boolean {
  const text = value.trim();
  if (/^\d+$/.test(text)) return text.length < SHORTEST_NUMBER;
  return COMMON.has(text.toLowerCase()) || PATH.test(text) || /^\$\{?\w+\}?$/.test(text) || /^(.)\1*$/.test(text);
}

/** Passwords in addresses such as `postgres://user:password@host`, as written and decoded. */
export function passwordsIn(value: string): string[] {
  const found: string[] = [];
  for (const [, password = ""] of value.matchAll(/\b[a-z][a-z0-9+.-]*:\/\/[^\s/?#:@]*:([^\s/?#@]+)@/gi)) {
    found.push(password);
    try {
      found.push(decodeURIComponent(password));
    } catch {
      // It is not percent-encoded; as written it is in the list.
    }
  }
  return found;
}
