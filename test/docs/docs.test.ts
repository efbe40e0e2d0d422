/** README and docs say what is true: their tables are those of the method files, and their commands exist. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { listed, pages, withTables } from "../../docs/generate.ts";
import pkg from "../../package.json";
import { OWN } from "../../src/cli/launch.ts";
import { kinds, methodNames } from "../../src/method/registry.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const readme = readFileSync(`${root}README.md`, "utf8");
const docs = pages();

test("the tables of methods are current (bun docs/generate.ts)", async () => {
  for (const text of docs.values()) expect(await withTables(text)).toBe(text);
});

test("every kind of method has one table", () => {
  expect([...docs.values()].flatMap(listed).sort()).toEqual(kinds().sort());
});

test("there are as many techniques as README says", () => {
  const said = Number(/there are more than (\d+)/.exec(readme)![1]);
  expect(kinds().flatMap((kind) => methodNames(kind)).length).toBeGreaterThan(said);
});

test("the README is short", () => expect(readme.trimEnd().split("\n").length).toBeLessThanOrEqual(220));

test("every page that a page links to exists", () => {
  for (const [file, text] of [
    ["README.md", readme],
    ["ARCHITECTURE.md", readFileSync(`${root}ARCHITECTURE.md`, "utf8")],
    ...[...docs].map(([name, page]) => [`docs/${name}`, page] as const),
  ] as const)
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g))
      expect([file, target, existsSync(join(root, file, "..", target!))]).toEqual([file, target, true]);
});

test("every script that README and docs run exists", () => {
  const named = [readme, ...docs.values()].flatMap((text) =>
    [...text.matchAll(/(?:(?:^ *(?:\$ )?|\| |`)ingot|bun(?:@[\d.]+)? run(?: --cwd \S+)?) ([\w-]+)/gm)].map(
      ([, name]) => name!,
    ),
  );
  expect(named.length).toBeGreaterThan(50);
  for (const name of named) expect([...Object.keys(pkg.scripts), ...OWN]).toContain(name);
  for (const command of Object.values(pkg.scripts)) expect(existsSync(`${root}${command.split(" ")[1]}`)).toBe(true);
});

test("files and folders that ARCHITECTURE.md names exist", () => {
  const text = readFileSync(`${root}ARCHITECTURE.md`, "utf8");
  const named = [...text.matchAll(/`((?:\w[\w-]*\/)+(?:[\w-]+\.ts)?)`/g)].map(([, path]) => path!);
  expect(named.length).toBeGreaterThan(30);
  // Inside a table's row or a sentence, folders of a room are named alone.
  const rooms = ["", "src/", "src/merge/", "src/tensor/", "src/model/", "src/data/", "src/run/"];
  for (const path of named.filter((path) => !path.startsWith("test/") && path !== "commands/"))
    expect([path, rooms.some((room) => existsSync(join(root, room, path)))]).toEqual([path, true]);
});

test("the example of one kernel runs", () => {
  const child = Bun.spawnSync([process.execPath, "examples/kernel.ts"], { cwd: root });
  expect(child.exitCode, child.stderr.toString()).toBe(0);
  expect(child.stdout.toString()).toMatch(/largest error \d/);
}, 120_000);
