import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished, test } from "vitest";
import { silentLogger } from "../../../src/base/logger.ts";
import { StoreCondition } from "../../../src/tracker/store/condition.ts";
import { GroupCommit } from "../../../src/tracker/store/group-commit.ts";
import { testDirectory } from "../../helpers/tracker.ts";

async function group(): Promise<{ group: GroupCommit; database: DatabaseSync; reserve: string }> {
  const directory = await testDirectory();
  const database = new DatabaseSync(join(directory, "belay.db"));
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (value TEXT)");
  const condition = new StoreCondition(directory, silentLogger);
  onTestFinished(() => {
    condition.close();
    database.close();
  });
  return { group: new GroupCommit(database, condition), database, reserve: join(directory, "reserve") };
}

test("On a full disk, urgent changes of jobs of which nothing else fails are tried again without the reserve", async () => {
  const { group: changes, database, reserve } = await group();
  expect(existsSync(reserve)).toBe(true);
  const insert = database.prepare("INSERT INTO t VALUES (?)");
  const calls: string[] = [];
  let tries = 0;
  const add = (name: string, key: number, urgent: boolean): Promise<string> =>
    changes
      .add(
        () => {
          insert.run(name);
          if (name === "a" && tries++ === 0) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
        },
        { key, urgent, undone: () => calls.push(`undone ${name}`), failed: () => calls.push(`failed ${name}`) },
      )
      .then(
        () => `stored ${name}`,
        () => `refused ${name}`,
      );
  const results = await Promise.all([
    add("a", 1, true),
    add("b", 2, true),
    add("large b", 2, false),
    add("large c", 3, false),
  ]);
  expect(results).toEqual(["stored a", "refused b", "refused large b", "refused large c"]);
  // What the first try left in memory is undone before the second one.
  expect(calls).toEqual([
    ...["a", "b", "large b", "large c"].map((name) => `undone ${name}`),
    ...["b", "large b", "large c"].map((name) => `failed ${name}`),
  ]);
  expect(existsSync(reserve)).toBe(false);
  expect(database.prepare("SELECT value FROM t").all()).toEqual([{ value: "a" }]);
});
