// Which variables hold credentials, by their names and values. Collected from the lists of Buildkite, GitHub Actions,
// GitLab, gitleaks, detect-secrets, Sentry, Datadog and Rails. docs/secrets.md says the same to users.

/** Words that make a name's value a credential wherever they occur in the name, also without separators. */
const ANYWHERE = [
  "password",
  "passwd",
  "passphrase",
  "passcode",
  "passwort",
  "kennwort",
  "secret",
  "private key",
  // ConnectionStrings__Main of .NET
  "connection strings",
];

/** Words that contain one of `ANYWHERE` and mean something else. */
const NOT_ANYWHERE = /\b(?:passwordless|secretary|secretariat)\b/g;

/** Words that make a name's value a credential where they end the name. */
const LAST_WORDS = [
  // npm, GitHub, GitLab, Slack, Hugging Face, Vault, our own BELAY_TOKEN …; authtoken, CSRFTOKEN
  "\\w*token",
  "(?:auth|access|api|bearer|refresh|agent|operator|client) tokens",
  "pat",
  "jwt",
  "bearer",
  "csrf",
  "xsrf",
  // Azure's shared access signatures; addresses that give access to any holder
  "sas",
  "(?:pre)?signed url",
  // DB_PASS, PGPASS, SSHPASS, DB_PW, MYSQL_PWD
  "\\w*pass",
  "(?:\\w*(?:db|user|admin|root|login|key|store|my|sql|pg|ftp|ssh|smtp))?pw",
  "(?:\\w*(?:db|user|admin|root|login|key|store|my|sql|pg|ftp|ssh|smtp))?pwd",
  // *_API_KEY, *_ACCESS_KEY, AWS_SECRET_ACCESS_KEY, SSH_KEY, AZURE_STORAGE_ACCOUNT_KEY
  "key",
  "(?:api|access|account|app|auth|client|crypt|deploy|encryption|gpg|host|integration|licen[cs]e|master|pass|pgp|priv|" +
    "service|session|shared|sign|signing|ssh|storage|subscription|webhook)key",
  "(?:api|access|account|auth|deploy|encryption|master|service|signing|ssh) keys",
  // Key ids are half of a credential and name an account: AWS_ACCESS_KEY_ID
  "access key id",
  // *_CREDENTIALS hold JSON as often as a path; a path is recognised by its form
  "credentials?",
  "creds?",
  // SMTP_AUTH, npm_config__auth; DOCKER_AUTH_CONFIG is JSON with passwords; OTEL_EXPORTER_OTLP_HEADERS
  "auth",
  "auth (?:config|header)",
  "authorization",
  "authorization header",
  "otlp (?:\\w+ )?headers",
  "kubeconfig (?:data|content)",
  // Sentry's and others' addresses are a credential in themselves, as is a connection string
  "dsn",
  "conn(?:ection)? ?str(?:ing)?",
  // Slack's and Teams' addresses: any holder may post
  "webhooks?",
  "webhook url",
  // Sessions; signing and hashing
  "cookies?",
  "(?:\\w*sess|session)id",
  "salt",
  "pepper",
  // Recovery of an account or wallet
  "mnemonic",
  "(?:seed|recovery) phrase",
  "(?:recovery|backup) codes?",
];

/** Words before "key" in names of keys that are not credentials: SORT_KEY, PARTITION_KEY, CACHE_KEY … */
const PLAIN_KEYS =
  /\b(?:sort|partition|primary|foreign|public|cache|hash|range|shard|group|grouping|routing|message|idempotency|dedup|deduplication|object|bucket|project|issue|state|index|row|column|composite|unique|natural|surrogate|candidate|join|lookup|search|map|dict|json|metric|label|tag|config|setting|feature|translation|i18n|compose|hot|shortcut|modifier|any|first|last|next|max|min|data|file|field|item|entry|event|context|registry|sonar project|order|order by|distribution|dist|clustering|version|answer|test|no|use|has|enter|escape|arrow|function|home|end|tab|ctrl|alt|meta|shift) key$/;

/** Tokens of a text, as in language models and parsers: EOS_TOKEN, STOP_TOKEN … */
const PLAIN_TOKENS =
  /\b(?:eos|bos|pad|unk|sep|cls|mask|stop|start|end|special|image|audio|video|prompt|first|last|next|prev|max|min|num|per|new|begin) token$/;

/** Words that end in "pass" and mean something else: GIT_ASKPASS names a program, LOW_PASS a filter. */
const PLAIN_PASSES =
  /(?:\b(?:askpass|\w+ askpass|bypass|compass|encompass|trespass|surpass|overpass|underpass|multipass|impasse)|\b(?:first|second|single|one|two|multi|low|high|band|all|render|forward|backward|final|optimizer) ?pass)$/;

/** Ends of names of variables that hold a place, a name or a method of something, not the thing itself. */
const PLACES =
  /\b(?:file|path|dir|directory|name|arn|sock|socket|length|len|size|count|ttl|expiry|expiration|expires|age|rotation|algorithm|type|format|prefix|suffix|policy|provider|manager|engine|backend|store|namespace|region|version|field|pattern|regex|enabled?|disabled?|required|min|max|reset url|help|hint|prompt)$/;

/** Qualifiers after the decisive word: DB_PASS_PROD, SSH_KEY_BASE64, TOKEN_2. */
const QUALIFIER =
  / (?:base64|b64|hex|json|yaml|pem|raw|value|plain|text|enc|prod|production|prd|dev|development|stg|stage|staging|qa|test|testing|live|sandbox|local|old|new|next|previous|current|primary|secondary|backup|main|default|rw|ro|\d+)$/;

/** Names that match but hold no credential. */
const HARMLESS = new Set(["pwd", "oldpwd", "google application credentials", "belay cookie", "compose key"]);

const AT_END = new RegExp(`(?:^| )(?:${LAST_WORDS.join("|")})$`);
const WITHIN = new RegExp(ANYWHERE.join("|").replaceAll(" ", " ?"));

/** Whether a variable of this name usually holds a credential. */
export function looksSecret(name: string): boolean {
  let words = wordsOf(name);
  if (HARMLESS.has(words) || PLACES.test(words)) return false;
  while (QUALIFIER.test(words)) words = words.replace(QUALIFIER, "");
  if (HARMLESS.has(words) || PLACES.test(words)) return false;
  if (WITHIN.test(words.replaceAll(NOT_ANYWHERE, ""))) return true;
  return AT_END.test(words) && !PLAIN_KEYS.test(words) && !PLAIN_TOKENS.test(words) && !PLAIN_PASSES.test(words);
}

/** `npm_config__authToken` is "npm config auth token", `SSHKey2` is "ssh key". */
function wordsOf(name: string): string {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replaceAll(/([A-Z])([A-Z][a-z])/g, "$1 $2")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, " ")
    .replaceAll(/(?<=^| )(?!base64|b64)(\p{L}+)\d+(?= |$)/gu, "$1")
    .trim();
}

/** Values that such variables often have and that most logs contain: they are not credentials. */
const COMMON = new Set(
  (
    "access apikey basic bearer changeme default disable disabled enable enabled example external github gitlab hidden " +
    "inherit internal localhost masked nobody optional password placeholder postgres private public redacted required " +
    "secret secrets testing undefined unknown true false yes no on off none null nil"
  ).split(" "),
);
/** A shorter number is more likely a count, a size, a port or a date than a credential. Digits. */
const SHORTEST_NUMBER = 10;
/** A path, judged by its form: base64 also has upper case letters, and no dots. */
const PATH = /^(?:~|\.{1,2})?(?:\/[a-z0-9._-]+){2,}\/?$|^(?:~|\.{1,2})\/[\w./-]*$/;

/** Whether a value is so common that removing it would only harm the log. */
export function isCommonplace(value: string): boolean {
  const text = value.trim();
  if (/^\d+$/.test(text)) return text.length < SHORTEST_NUMBER;
  return COMMON.has(text.toLowerCase()) || PATH.test(text) || /^\$\{?\w+\}?$/.test(text) || /^(.)\1*$/.test(text);
}

/** Passwords in addresses such as `postgres://user:password@host`: as written, and percent-decoded. */
export function passwordsIn(value: string): string[] {
  const found: string[] = [];
  for (const [, password = ""] of value.matchAll(/\b[a-z][a-z0-9+.-]*:\/\/[^\s/?#:@]*:([^\s/?#@]+)@/gi)) {
    found.push(password);
    try {
      found.push(decodeURIComponent(password));
    } catch {
      // It is not percent-encoded; the list already has it as written.
    }
  }
  return found;
}

/** The credentials of headers such as `Bearer …`, `Basic …` or `authorization=Bearer …`, without the scheme. */
export function credentialsIn(value: string): string[] {
  return [...value.matchAll(/(?:^|[\s=:,])(?:bearer|basic|token|apikey)(?: +|%20)([^\s,;"']+)/gi)].map(
    ([, credential = ""]) => credential,
  );
}
