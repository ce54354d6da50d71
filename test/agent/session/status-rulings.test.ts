import { readFileSync } from "node:fs";
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { RULINGS, actionOn } from "../../../src/agent/session/status-rulings.ts";

const codes = Object.values(status).filter((code) => typeof code === "number");

test("The table in docs/errors.md is the one that agents follow", () => {
  const page = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8");
  const documented = [...page.matchAll(/^\| `(\w+)` \((\d+)\) \| (\w+) \| (\w+) \| (.*) \|$/gm)].map(
    ([, name, code, first, later, because]) => ({ name, code: Number(code), first, later, because }),
  );
  const ruled = codes.map((code) => {
    const name = status[code] as keyof typeof status;
    return { name, code, ...RULINGS[name] };
  });
  expect(documented).toEqual(ruled);
});

test("An unknown code is retried", () => {
  expect([actionOn(77, false), actionOn(77, true)]).toEqual(["retry", "retry"]);
});

test("No other code kills a job or abandons its log", () => {
  const ending = codes.filter((code) => actionOn(code, true) !== "retry").map((code) => status[code]);
  expect(ending).toEqual(["INVALID_ARGUMENT", "FAILED_PRECONDITION"]);
});
