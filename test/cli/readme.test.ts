/** The README says what is true: its tables are those of the method files, and its commands exist. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pkg from "../../package.json";
import { withTables } from "../../src/cli/readme.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const readme = readFileSync(`${root}README.md`, "utf8");

test("the tables of methods are current (bun src/cli/readme.ts)", async () => {
  expect(await withTables(readme)).toBe(readme);
});

test("every script that it runs exists", () => {
  const named = [...readme.matchAll(/bun(?:@[\d.]+)? run (\w+)/g)].map(([, name]) => name!);
  expect(named.length).toBeGreaterThan(5);
  for (const name of named) expect(Object.keys(pkg.scripts)).toContain(name);
  for (const command of Object.values(pkg.scripts)) expect(existsSync(`${root}${command.split(" ")[1]}`)).toBe(true);
});
