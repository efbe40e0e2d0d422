/**
 * `ingot new`, and with it every example of docs/adding-a-method.md: in a copy of the project, one method of each
 * kind is made, run by the commands of the page, and tested by its own test and by the laws of its kind.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { FOLDERS } from "../../src/method/kinds.ts";
import { filled, PAGE, preparation, templates } from "../../src/new/templates.ts";
import { ingotOnPath } from "../support/ingot.ts";

setDefaultTimeout(120_000);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const page = readFileSync(PAGE, "utf8");
const examples = templates(page);
const folder = mkdtempSync(join(tmpdir(), "ingot-new-"));

const nameOf = (word: string) => `my-${word}`;
const made = examples.map((example) => filled(example, nameOf(example.word)));

beforeAll(async () => {
  for (const part of ["src", "scripts", "docs", "package.json", "tsconfig.json", "biome.json", ".gitignore"])
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  const isOther = (path: string) => /^test\/(golden|bench|experiments|cli|docs)\b/.test(relative(ROOT, path));
  cpSync(join(ROOT, "test"), join(folder, "test"), { recursive: true, filter: (path) => !isOther(path) });
  for (const part of ["node_modules", "wgsl"]) symlinkSync(join(ROOT, part), join(folder, part));
  await sh(preparation(page));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program in the copy; gives its exit code and what it said. */
async function run(command: readonly string[]): Promise<{ code: number; text: string }> {
  const child = Bun.spawn([...command], {
    cwd: folder,
    env: ingotOnPath(folder, folder),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, text: out + err };
}

/** Runs lines of the page as a shell would. Fails with what they said. */
async function sh(lines: string): Promise<void> {
  const { code, text } = await run(["sh", "-ec", lines]);
  expect(code, `${lines}\n${text}`).toBe(0);
}

const make = (...args: string[]) => run([process.execPath, "scripts/new.ts", ...args]);

test("there is an example of every kind, and of every folder of a kind", () => {
  const folders = Object.values(FOLDERS).flat();
  for (const kindFolder of folders)
    expect(examples.filter(({ method }) => method.path.startsWith(`src/${kindFolder}/`))).toHaveLength(1);
  expect(examples).toHaveLength(folders.length);
  for (const { method } of examples) expect(method.text.trim().split("\n").length).toBeLessThanOrEqual(42);
});

test("a method of every kind is made, and runs", async () => {
  const found = await Promise.all(examples.map(({ word }) => make(word, nameOf(word))));
  for (const { code, text } of found) expect(code, text).toBe(0);
  for (const { files } of made)
    for (const { path, text } of files) expect(readFileSync(join(folder, path), "utf8")).toBe(text);
  const waiting = made.map(({ commands }) => commands);
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await sh(next);
  };
  await Promise.all([work(), work(), work()]);
});

test("the tests that are made pass, and the laws that are claimed hold", async () => {
  const tests = made.flatMap(({ files }) => files.map(({ path }) => path)).filter((path) => path.endsWith(".test.ts"));
  const [own, laws] = await Promise.all([
    run([process.execPath, "test", "--timeout", "60000", ...tests]),
    run([
      ...[process.execPath, "test", "--timeout", "60000", "-t", "\\bmy[-_]"],
      ...["test/laws", "test/curriculum", "test/data/tasks/laws.test.ts", "test/model/adapters/laws.test.ts"],
    ]),
  ]);
  expect(own.code, own.text).toBe(0);
  expect(own.text).toContain(`${examples.length} pass`);
  expect(laws.code, laws.text).toBe(0);
  expect(Number(/(\d+) pass/.exec(laws.text)![1])).toBeGreaterThan(50);
});

test("what was made fits the types and the style", async () => {
  const files = made.flatMap((one) => one.files.map(({ path }) => path));
  writeFileSync(join(folder, "tsconfig.made.json"), JSON.stringify({ extends: "./tsconfig.json", include: [], files }));
  const style = await run(["node_modules/.bin/biome", "check", "--colors=off", ...files]);
  expect(style.code, style.text).toBe(0);
  const types = await run(["node_modules/.bin/tsc", "--noEmit", "-p", "tsconfig.made.json"]);
  expect(types.code, types.text).toBe(0);
});

test("refuses what it cannot make", async () => {
  for (const [args, message] of [
    [["merge", "ties"], "src/merge/methods/task-vectors/ties.ts exists"],
    [["samplr", "mine"], "did you mean sampler?"],
    [["merge", "Mine!"], "Mine! cannot be the name of a method"],
    [["merge", "mine", "--family", "pair"], "did you mean pairs?"],
    [["schedule", "mine", "--family", "pairs"], "schedule has no family pairs"],
    [["merge"], "expected"],
  ] as const) {
    const { code, text } = await make(...args);
    expect([code, text]).toEqual([2, expect.stringContaining(message)]);
  }
  const { code, text } = await make("unlearn", "dry", "--family", "edits", "--dry-run");
  expect([code, text]).toEqual([0, expect.stringContaining("would write src/unlearn/methods/edits/dry.ts")]);
});
