/** Several recipes in one file: `merge --multi`, which keeps what they make. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DECODER, merge, tensorsOf, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-merge-multi-"));
  for (const [name, seed] of Object.entries({ a: 1, b: 2, base: 3 }))
    writeModel(join(folder, name), tensorsOf(DECODER, seed));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (argv: string) => merge(argv.split(" "), { cwd: folder });
const recipe = (name: string, text: string) => writeFileSync(join(folder, name), text);
const file = (path: string) => readFileSync(join(folder, path));
const time = (path: string) => statSync(join(folder, path)).mtimeMs;

const linear = (name: string, models: readonly string[], weight = 1) =>
  `name: ${name}\nmerge_method: linear\nmodels:\n${models
    .map((model) => `- {model: ${model}, parameters: {weight: ${weight}}}\n`)
    .join("")}`;
const LAST =
  "merge_method: slerp\nbase_model: second\nmodels: [{model: second}, {model: ./base}]\nparameters: {t: 0.25}\n";
// Out of order: a recipe may stand before those that it uses.
const CHAIN = [linear("second", ["first", "./base"]), LAST, linear("first", ["./a", "./b"])].join("---\n");

test("--multi keeps what named recipes make, and makes none of it again; the bytes are those without it", async () => {
  recipe("chain.yml", CHAIN);
  expect((await run("chain.yml -q -o plain.safetensors")).code).toBe(0);
  const { code, err } = await run("chain.yml -q --multi kept -o chained.safetensors");
  expect([code, err]).toEqual([0, ""]);
  expect(file("chained.safetensors").equals(file("plain.safetensors"))).toBe(true);
  expect(readdirSync(join(folder, "kept")).sort()).toEqual(["first", "second"]);
  expect(JSON.parse(file("kept/first/config.json").toString()).model_type).toBe("llama");

  const before = ["kept/first", "kept/second"].map((name) => time(`${name}/model.safetensors`));
  const again = await run("chain.yml --overwrite --multi kept -o chained.safetensors");
  expect(again.err).toContain("first is finished: kept/first\n");
  expect(again.err).toContain("second is finished: kept/second\n");
  expect(again.err).toContain("chained.safetensors was finished already");
  expect(["kept/first", "kept/second"].map((name) => time(`${name}/model.safetensors`))).toEqual(before);
  const all = await run("chain.yml --overwrite --intermediate-dir kept --no-lazy -o chained.safetensors");
  expect([all.code, all.err]).toEqual([0, expect.not.stringContaining("finished")]);
  expect(time("kept/first/model.safetensors")).toBeGreaterThan(before[0]!);
});

test("what is not whole, or of another recipe, is made again, and what depends on it", async () => {
  recipe("chain.yml", CHAIN);
  await run("chain.yml -q --multi mended -o mended.safetensors");
  const whole = file("mended/second/model.safetensors");
  truncateSync(join(folder, "mended/second/model.safetensors"), whole.length - 5);
  const mended = await run("chain.yml --overwrite --multi mended -o mended.safetensors");
  expect(mended.err).toContain("first is finished");
  expect(mended.err).toContain("mended/second is not whole and is made again");
  expect(file("mended/second/model.safetensors").equals(whole)).toBe(true);

  // Only the last changes: the others are kept though the file has other text.
  recipe("chain.yml", CHAIN.replace("t: 0.25", "t: 0.5"));
  const last = await run("chain.yml --overwrite --multi mended -o mended.safetensors");
  expect(last.err).toMatch(/first is finished.*\n.*second is finished/);
  expect(last.err).not.toContain("already");
  // The first changes: all are made again.
  recipe("chain.yml", CHAIN.replace("./b, parameters: {weight: 1}", "./b, parameters: {weight: 2}"));
  const first = await run("chain.yml --overwrite --multi mended -o mended.safetensors");
  expect([first.code, first.err]).toEqual([0, expect.not.stringContaining("finished")]);
  expect(file("mended/second/model.safetensors").equals(whole)).toBe(false);
  // Another input, of the same name.
  writeModel(join(folder, "c"), tensorsOf(DECODER, 4));
  recipe("one.yml", `${linear("only", ["./c"])}---\n${LAST.replaceAll("second", "only")}`);
  await run("one.yml -q --multi mended -o one.safetensors");
  writeModel(join(folder, "c"), tensorsOf({ ...DECODER, "extra.weight": [3] }, 4));
  const other = await run("one.yml --overwrite --multi mended -o one.safetensors --allow-missing");
  expect([other.code, other.err]).toEqual([0, expect.not.stringContaining("finished")]);
});

test("--dry-run and --explain tell every recipe and make none", async () => {
  recipe("chain.yml", CHAIN);
  const before = readdirSync(folder);
  const dry = await run("chain.yml -n --multi planned -o planned.safetensors");
  expect([dry.code, dry.text]).toEqual([
    0,
    expect.stringMatching(/^first:\ntensors +7\n(.*\n)+second:\n(.*\n)+tensors/),
  ]);
  const explained = await run("chain.yml --explain");
  expect(explained.text).toMatch(/^first:\nall tensors:\n(.*\n)+second:\n(.*\n)+all tensors:\n(.*\n)* +t +0\.25/);
  expect(readdirSync(folder)).toEqual(before);
});

test("rings, names that are no folders, and folders of something else are refused by name", async () => {
  const ring = [linear("x", ["y", "./a"]), linear("y", ["z"]), linear("z", ["x"]), linear("end", ["z"])];
  recipe("ring.yml", ring.join("---\n"));
  const round = await run("ring.yml --multi ring -o out.safetensors");
  expect([round.code, round.err]).toEqual([2, expect.stringContaining("recipes need each other: x -> y -> z -> x\n")]);
  recipe("self.yml", `${linear("x", ["x"])}---\n${linear("y", ["x"])}`);
  expect((await run("self.yml --multi ring -o out.safetensors")).err).toContain("recipes need each other: x -> x\n");
  for (const name of ["../up", "a/b", "..", "-o", '"\\t"']) {
    recipe("odd.yml", `${linear(name, ["./a"])}---\n${linear("y", [name])}`);
    const odd = await run("odd.yml --multi names -o out.safetensors");
    expect([odd.code, odd.err]).toEqual([2, expect.stringMatching(/cannot be a folder in names|must be a name/)]);
  }
  recipe("chain.yml", CHAIN);
  writeModel(join(folder, "mine/first"), tensorsOf(DECODER, 7));
  const mine = await run("chain.yml --multi mine -o out.safetensors");
  expect([mine.code, mine.err]).toEqual([
    2,
    expect.stringContaining("mine/first is no result of a recipe named first"),
  ]);
  expect(existsSync(join(folder, "out.safetensors"))).toBe(false);
  expect((await run("a b --method linear --multi kept -q -o x.safetensors")).err).toContain("--multi is for a file of");
  expect((await run("chain.yml --no-lazy -o x.safetensors")).err).toContain("there is no --multi");
});
