/** `adapt resize`: smaller ranks keep the most that they can, larger ones keep all. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../src/checkpoint/open.ts";
import { sameBytes } from "../../src/checkpoint/same-bytes.ts";
import { svd } from "../../src/tensor/linear-algebra/svd.ts";
import { runScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { changesIn, configIn, factors, writeAdapter } from "./adapter-files.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-resize-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const [Q, V] = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"];
writeAdapter(at("a"), factors({ [Q]: [6, 9], [V]: [2, 9] }, 4, 1), {
  r: 4,
  lora_alpha: 2,
  target_modules: ["q_proj", "v_proj"],
});
const before = await changesIn(at("a"));

const resize = async (name: string, ...argv: string[]) => {
  const { code, err, text } = await runScript("adapt", ["resize", "a", ...argv, "--json", "-o", name], folder);
  expect(code, err).toBe(0);
  return { json: JSON.parse(text), err, changes: existsSync(at(name)) ? await changesIn(at(name)) : new Map() };
};

const distance = (one: readonly number[], other: readonly number[]) =>
  Math.hypot(...one.map((value, i) => value - other[i]!));

test("a smaller rank leaves out the smallest singular values, and says how much that is", async () => {
  const { json, changes } = await resize("two", "--rank", "2");
  const { s } = svd(before.get(Q)!.change, 6, 9);
  const lost = Math.hypot(s[2]!, s[3]!);
  expect(distance(changes.get(Q)!.change, before.get(Q)!.change)).toBeCloseTo(lost, 5);
  expect(json.modules[0].error).toBeCloseTo(lost / Math.hypot(...s), 6);
  // The other weight has two rows, and no change of it has a higher rank.
  expect(json.modules[1]).toMatchObject({ rank: 2, error: 0 });
  expect(configIn(at("two"))).toMatchObject({ r: 2, lora_alpha: 2, target_modules: ["q_proj", "v_proj"] });
});

test("a larger rank changes nothing", async () => {
  const { json, changes } = await resize("five", "--rank", "5");
  expect(json.error).toBe(0);
  for (const [module, { change, rank }] of changes) {
    expect(distance(change, before.get(module)!.change)).toBeLessThan(1e-5);
    expect(rank).toBe(module === Q ? 5 : 2);
  }
});

test("a share of the squares takes the least rank that keeps it", async () => {
  const { json } = await resize("share", "--energy", "0.9");
  for (const { module, rank, error } of json.modules) {
    expect(1 - error ** 2).toBeGreaterThanOrEqual(0.9);
    const { s } = svd(before.get(module)!.change, module === Q ? 6 : 2, 9);
    const kept = s.slice(0, rank - 1).reduce((sum, value) => sum + value ** 2, 0);
    expect(kept / s.reduce((sum, value) => sum + value ** 2, 0)).toBeLessThan(0.9);
  }
});

test("a dry run writes nothing; what does not go together is refused", async () => {
  const dry = await resize("dry", "--rank", "2", "--dry-run");
  expect([existsSync(at("dry")), dry.json.bytes]).toEqual([false, 4 * 2 * (6 + 9 + 2 + 9)]);
  const refused = async (...argv: string[]) => {
    const { code, err } = await runScript("adapt", ["resize", ...argv, "-o", "refused"], folder);
    expect(code).toBe(2);
    return err;
  };
  expect(await refused("a")).toContain("no rank to resize to");
  expect(await refused("a", "--rank", "2", "--energy", "0.5")).toContain("both choose ranks");
  expect(await refused("a", "a", "--rank", "2")).toContain("unexpected argument a");
  expect(await refused("--rank", "2")).toContain("no adapter to resize");
  expect(await refused("a", "--rank", "0")).toContain("--rank");
  expect(await refused("missing", "--rank", "2")).toContain("missing");
});

test("lineage says what was done", async () => {
  const { lineage } = await openPlain(at("two"));
  expect(lineage).toMatchObject([{ script: "adapt resize", options: { rank: 2 }, inputs: [{ ref: "a" }] }]);
});

test("a command that is none is refused with the nearest", async () => {
  const { code, err } = await runScript("adapt", ["resiez"], folder);
  expect([code, err]).toEqual([
    2,
    "adapt: resiez is no command of adapt, and no file\n  hint: did you mean adapt resize?\n",
  ]);
});

test("DoRA keeps its lengths: a larger rank changes no weight, a smaller one the directions alone", async () => {
  const tiny = { ...TINY_TEXT.llama, vocab_size: 264, hidden_size: 12, head_dim: 4 };
  writeFileSync(at("tiny.json"), JSON.stringify(tiny));
  writeFileSync(at("rows.jsonl"), `${JSON.stringify({ text: "one and two and three" })}\n`);
  const done = async (line: string) => {
    const [script, ...argv] = line.split(" ");
    const { code, err, text } = await runScript(script!, argv, folder);
    expect([code, err]).toEqual([0, ""]);
    return text;
  };
  const train = "--data rows.jsonl --batch-size 1 --lr 3e-2 --save-every 0 -q";
  await done(`train --init tiny.json --tokenizer byte ${train} --steps 1 -o base/`);
  await done(`train base/ ${train} --lora --lora-rank 2 --dora --steps 4 -o dora/`);
  const loss = async (model: string) => {
    const text = await done(`evaluate ${model} --data rows.jsonl --metric loss --json --bootstrap 0 -q`);
    return (JSON.parse(text) as { loss: number }).loss;
  };
  const own = await loss("base/+dora/");
  expect(Math.abs(own - (await loss("base/")))).toBeGreaterThan(1e-2);
  await done("adapt resize dora --rank 4 -q -o more/");
  expect(configIn(at("more"))).toMatchObject({ use_dora: true, r: 4, lora_alpha: 4 });
  expect(await loss("base/+more/")).toBeCloseTo(own, 5);
  await done("adapt resize more --rank 2 -q -o back/");
  expect(await loss("base/+back/")).toBeCloseTo(own, 5);
  const { error } = JSON.parse(await done("adapt resize dora --rank 1 --json -q -o less/")) as { error: number };
  expect(error).toBeGreaterThan(0);
  const [dora, less] = [(await openPlain(at("dora"))).tensors, (await openPlain(at("less"))).tensors];
  const lengths = [...dora.keys()].filter((name) => name.includes("lora_magnitude_vector"));
  expect(lengths).toHaveLength(14);
  for (const name of lengths) expect([name, await sameBytes(dora.get(name)!, less.get(name)!)]).toEqual([name, true]);
});

test("lengths that do not go with their module are refused by name", async () => {
  const targets = { r: 4, lora_alpha: 2, target_modules: ["q_proj"], use_dora: true };
  const name = `${Q}.lora_magnitude_vector`;
  const refused = async (folderName: string) => {
    const { code, err } = await runScript("adapt", ["resize", folderName, "--rank", "2", "-o", "no/"], folder);
    expect(code).toBe(2);
    return err;
  };
  writeAdapter(at("without"), factors({ [Q]: [6, 9] }, 4, 1), targets);
  expect(await refused("without")).toContain(`${Q} in without has no lora_magnitude_vector, but use_dora is set`);
  const short = { [name]: { shape: [5], values: new Float32Array(5) } };
  writeAdapter(at("short"), { ...factors({ [Q]: [6, 9] }, 4, 1), ...short }, targets);
  expect(await refused("short")).toContain("in short is (5), expected 6 lengths");
});
