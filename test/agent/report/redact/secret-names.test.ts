import { describe, expect, test } from "vitest";
import { addEnvironment } from "../../../../src/agent/report/redact/environment-secrets.ts";
import { isCommonplace, looksSecret, passwordsIn } from "../../../../src/base/secret-names.ts";
import { Secrets } from "../../../../src/agent/report/redact/secrets.ts";

describe("names that look secret", () => {
  test.for(
    (
      "GITHUB_TOKEN npm_token HF_TOKEN BELAY_TOKEN TOKEN TOKEN2 GH_PAT AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN " +
      "AWS_ACCESS_KEY_ID OPENAI_API_KEY STRIPE_APIKEY SSH_PRIVATE_KEY DB_PASSWORD PASSWORD POSTGRES_PASSWD MYSQL_PWD " +
      "CLIENT_SECRET SECRET_KEY_BASE DJANGO_SECRET_KEY AZURE_CREDENTIALS AZURE_STORAGE_CONNECTION_STRING SENTRY_DSN " +
      "SLACK_WEBHOOK_URL DOCKER_AUTH_CONFIG NPM_CONFIG__AUTH GPG_PASSPHRASE SESSION_COOKIE API_KEY_2"
    ).split(" "),
  )("%s does", (name) => expect(looksSecret(name)).toBe(true));

  test.for(
    (
      "PATH HOME PWD OLDPWD LANG SSH_AUTH_SOCK XAUTHORITY MAX_TOKENS TOKENIZERS_PARALLELISM KEYBOARD MONKEY PATTERN " +
      "AWS_REGION AWS_WEB_IDENTITY_TOKEN_FILE GOOGLE_APPLICATION_CREDENTIALS SSL_KEY_PATH SECRETS_DIR SECRET_NAME " +
      "AUTHOR CUDA_VISIBLE_DEVICES COMPAT"
    ).split(" "),
  )("%s does not", (name) => expect(looksSecret(name)).toBe(false));
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
    expect(addEnvironment(new Secrets(), environment, ["PLAIN", "MISSING"])).toEqual([
      "Cannot redact PLAIN: its value is shorter than 6 bytes",
      "Cannot redact MISSING: it is not set",
      "Cannot redact API_TOKEN: its value is shorter than 6 bytes",
    ]);
  });

  test("gives up what was asked for, however common it is", () => {
    const secrets = new Secrets();
    expect(addEnvironment(secrets, { MODE: "default", X_TOKEN: "default" }, ["MODE"])).toEqual([]);
    expect(secrets.add("default")).toBe("known");
  });
});
