import { describe, expect, test } from "vitest";
import { addEnvironment } from "../../../../src/agent/report/redact/add-environment.ts";
import { isCommonplace, looksSecret, passwordsIn } from "../../../../src/base/secrets/secret-names.ts";
import { Secrets } from "../../../../src/agent/report/redact/secrets.ts";

describe("names that look secret", () => {
  const secret: { kind: string; names: string }[] = [
    {
      kind: "tokens",
      names: "GITHUB_TOKEN npm_token HF_TOKEN TOKEN TOKEN2 AWS_SESSION_TOKEN GH_PAT API_TOKENS ID_JWT",
    },
    { kind: "names in camel case", names: "authToken npm_config__authToken apiKey clientSecret SSHKey dbPass" },
    {
      kind: "names of npm, HTTP and .NET",
      names: "npm_config_//npm.test/:_authToken X-Api-Key ConnectionStrings__Main",
    },
    { kind: "passwords", names: "PASSWORD DB_PASSWORD POSTGRES_PASSWD PGPASSWORD TF_VAR_db_password MY_PASSPHRASE" },
    { kind: "short for password", names: "DB_PASS PGPASS SSHPASS KEYSTORE_PASS DBPASS DB_PW ROOTPW MYSQL_PWD DBPWD" },
    { kind: "keys", names: "AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID OPENAI_API_KEY STRIPE_APIKEY SSH_PRIVATE_KEY KEY" },
    { kind: "keys of services", names: "RAILS_MASTER_KEY DJANGO_SECRET_KEY SECRET_KEY_BASE TS_AUTHKEY ACCOUNT_KEY" },
    { kind: "headers", names: "BEARER HTTP_BEARER NPM_CONFIG__AUTH DOCKER_AUTH_CONFIG AUTHORIZATION" },
    { kind: "headers of OpenTelemetry", names: "OTEL_EXPORTER_OTLP_HEADERS OTEL_EXPORTER_OTLP_TRACES_HEADERS" },
    { kind: "credentials as a whole", names: "AZURE_CREDENTIALS AWS_CREDS GPG_PASSPHRASE KUBECONFIG_DATA AZURE_SAS" },
    { kind: "addresses", names: "AZURE_STORAGE_CONNECTION_STRING SENTRY_DSN SLACK_WEBHOOK_URL PRESIGNED_URL" },
    { kind: "sessions and salts", names: "SESSION_COOKIE CSRFTOKEN PHPSESSID WORDPRESS_NONCE_SALT PASSWORD_PEPPER" },
    {
      kind: "with a stage or form behind",
      names: "API_KEY_2 DB_PASS_PROD SSH_KEY_BASE64 TOKEN_OLD GCP_CREDENTIALS_JSON",
    },
  ];
  test.for(secret)("$kind do: $names", ({ names }) => {
    expect(names.split(" ").filter((name) => !looksSecret(name))).toEqual([]);
  });

  const harmless: { kind: string; names: string }[] = [
    {
      kind: "a shell's own",
      names: "PATH HOME PWD OLDPWD LANG SSH_AUTH_SOCK XAUTHORITY XDG_SESSION_ID TERM_SESSION_ID",
    },
    {
      kind: "keys that open nothing",
      names: "SORT_KEY PARTITION_KEY CACHE_KEY PRIMARY_KEY PUBLIC_KEY sortKey HOT_KEY",
    },
    { kind: "words with key in them", names: "KEYBOARD MONKEY KEYMAP HOTKEY LESSKEY GNOME_KEYRING_CONTROL PUBKEY" },
    { kind: "tokens of a text", names: "TOKENIZERS_PARALLELISM MAX_TOKENS TOKENS EOS_TOKEN PAD_TOKEN" },
    { kind: "words with pass in them", names: "PASSENGER_APP_ENV COMPASS BYPASS LOW_PASS GIT_ASKPASS SSH_ASKPASS" },
    { kind: "places", names: "AWS_WEB_IDENTITY_TOKEN_FILE SSL_KEY_PATH SECRETS_DIR SECRET_NAME PGPASSFILE" },
    {
      kind: "rules about secrets",
      names: "PASSWORD_MIN_LENGTH TOKEN_EXPIRY SECRETS_MANAGER_REGION CREDENTIALS_PROVIDER",
    },
    { kind: "others", names: "AUTHOR COMPAT PATTERN SECRETARY PASSWORDLESS_LOGIN GOOGLE_APPLICATION_CREDENTIALS" },
  ];
  test.for(harmless)("$kind do not: $names", ({ names }) => {
    expect(names.split(" ").filter(looksSecret)).toEqual([]);
  });
});

test.for(["true", "default", "Password", "123456", "/etc/ssl/private/key.pem", "~/keys/id", "$TOKEN", "********"])(
  "a value %s is commonplace",
  (value) => expect(isCommonplace(value)).toBe(true),
);

test.for(["/K7MDENGbPxRfiCYEXAMPLEKEY/wJalrXUtnFEMI", "correct horse", "0123456789", "hunter22"])(
  "a value %s is not commonplace",
  (value) => expect(isCommonplace(value)).toBe(false),
);

test("passwords are found in addresses, as written and decoded", () => {
  expect(passwordsIn("postgres://me:s%40cret1@db:5432/x,redis://:redispw@cache")).toEqual([
    "s%40cret1",
    "s@cret1",
    "redispw",
    "redispw",
  ]);
  expect(passwordsIn("https://host:8080/a@b http://user@host")).toEqual([]);
});

describe("an environment", () => {
  test("warns of what cannot be redacted, by name only", () => {
    const environment = {
      API_TOKEN: "abcde",
      PLAIN: "x",
      ENABLE_AUTH: "true",
      SOME_KEY: "1234",
      EMPTY_TOKEN: "",
      A_TOKEN: "long-enough",
    };
    expect(addEnvironment(new Secrets(), environment, { redact: ["PLAIN", "MISSING"], keep: [] })).toEqual([
      "Cannot redact MISSING: it is not set",
      "Cannot redact API_TOKEN: its value is shorter than 6 bytes",
      "Cannot redact PLAIN: its value is shorter than 6 bytes",
    ]);
  });

  test("redacts what the spec names, however common it is", () => {
    const secrets = new Secrets();
    expect(addEnvironment(secrets, { MODE: "default", X_TOKEN: "default" }, { redact: ["MODE"], keep: [] })).toEqual(
      [],
    );
    expect(secrets.add("default")).toBe("known");
  });

  test("keeps what was exempted, but for the values that other variables hold as secrets", () => {
    const environment = {
      SORT_TOKEN: "created_at",
      DB: "postgres://me:pass-word@db/x",
      A_TOKEN: "shared-1",
      B_TOKEN: "shared-1",
      BOTH: "asked-for",
    };
    const secrets = new Secrets();
    addEnvironment(secrets, environment, { redact: ["BOTH"], keep: ["SORT_TOKEN", "DB", "A_TOKEN", "BOTH"] });
    expect(secrets.add("created_at")).toBe("added");
    expect(secrets.add("pass-word")).toBe("added");
    expect(secrets.add("shared-1")).toBe("known");
    expect(secrets.add("asked-for")).toBe("known");
  });

  test("redacts the credential of a header without its scheme", () => {
    const secrets = new Secrets();
    addEnvironment(
      secrets,
      { OTLP_HEADERS: "authorization=Bearer%20abc.def-1,x=1", HTTP_AUTHORIZATION: "Basic dXNlcjpwYXNz" },
      { redact: [], keep: [] },
    );
    expect(secrets.add("abc.def-1")).toBe("known");
    expect(secrets.add("dXNlcjpwYXNz")).toBe("known");
  });
});
