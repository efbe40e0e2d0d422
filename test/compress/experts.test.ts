/** Mixtures with fewer experts: what is left, which go, and recipes. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../src/checkpoint/open.ts";
import { mixtureOf, withExperts } from "../../src/compress/experts/mixture.ts";
import { bestExperts, lossesOf, lossWithout, usesOf } from "../../src/compress/experts/scores.ts";
import { collate, type TokenBatch } from "../../src/data/batch.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_EXPERTS } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-experts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const reading = { ref: "mixture", signal: new AbortController().signal, done() {} };

const batch: TokenBatch = collate(
  [
    [5, 9, 2, 11, 30, 8],
    [7, 1, 14, 3],
  ].map((ids) => [{ ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: "" }]),
  { pad: 3 },
);

async function saved(type: string): Promise<string> {
  const path = join(folder, `${type}/`);
  const json = { ...TINY_EXPERTS[type]! };
  const model = await Model.fresh(gpu, json, type, { seed: 3 });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, path, { files, lineage: [] });
  model.free();
  return path;
}

describe.each(["mixtral", "qwen2_moe"])("%s", async (type) => {
  const checkpoint = await openPlain(await saved(type));
  afterAll(() => checkpoint.close());
  const mixture = mixtureOf(checkpoint);
  const load = (from: typeof checkpoint) => Model.load(gpu, from, { dtype: "f32", freeze: () => true });

  test("what is left computes what the whole does with the others silent", async () => {
    const whole = await load(checkpoint);
    const all = [...Array(mixture.experts).keys()];
    const kept = new Map([...mixture.modules.keys()].map((layer) => [layer, layer % 2 === 0 ? [0, 2, 3] : [1, 2, 3]]));
    const gone = new Map([...kept].map(([layer, own]) => [layer, all.filter((e) => !own.includes(e))]));
    const silenced = await lossWithout(whole, [batch], gone, reading);
    const small = await load(await withExperts(mixture, kept));
    const left = await lossWithout(small, [batch], new Map(), reading);
    expect(left).toBeCloseTo(silenced, 5);
    expect(Math.abs(left - (await lossWithout(whole, [batch], new Map(), reading)))).toBeGreaterThan(1e-6);
    small.free();
    whole.free();
  });

  test("every token takes its experts, and each expert's loss is that without it alone", async () => {
    const whole = await load(checkpoint);
    const uses = await usesOf(whole, [batch], reading);
    for (const own of uses.values()) expect(own.reduce((sum, count) => sum + count, 0)).toBe(10 * mixture.perToken);
    const rises = await lossesOf(whole, [batch], reading);
    const base = await lossWithout(whole, [batch], new Map(), reading);
    for (const [layer, own] of rises) {
      expect(own).toHaveLength(mixture.experts);
      const alone = await lossWithout(whole, [batch], new Map([[layer, [1]]]), reading);
      expect(alone - base).toBeCloseTo(own[1]!, 6);
    }
    whole.free();
  });
});

test("the best stay, of equal ones the first, and in their order", () => {
  const scores = new Map([[2, Float64Array.of(1, 5, 5, 0, 7)]]);
  expect([...bestExperts(scores, 2).values()]).toEqual([[1, 4]]);
  expect([...bestExperts(scores, 3).values()]).toEqual([[1, 2, 4]]);
});

describe("on the command line", async () => {
  const path = await saved("mixtral");
  writeFileSync(join(folder, "rows.jsonl"), `${JSON.stringify({ input_ids: [5, 9, 2, 11, 30, 8] })}\n`);
  const run = (...argv: string[]) => runScript("compress", ["experts", ...argv], folder);

  test("a recipe does the same again, and what it does not know is refused", async () => {
    const made = await run(
      path,
      "--keep",
      "2",
      "--by",
      "loss",
      "--calibration",
      "rows.jsonl",
      "--write-recipe",
      "kept.jsonl",
      "-o",
      "a.safetensors",
    );
    expect(made.err).toContain("2 of 4 experts");
    const lines = readFileSync(join(folder, "kept.jsonl"), "utf8").trim().split("\n");
    const [first] = lines.map((line) => JSON.parse(line));
    expect([first.experts.length, first.scores.length]).toEqual([2, 4]);
    await run(path, "--recipe", "kept.jsonl", "-o", "b.safetensors");
    const values = async (name: string) => {
      const opened = await openPlain(join(folder, name));
      const found = [];
      for (const entry of opened.tensors.values()) {
        const bytes = new Uint8Array(entry.bytes);
        await entry.read(bytes, 0);
        found.push([entry.name, Bun.hash(bytes)]);
      }
      opened.close();
      return found;
    };
    expect(await values("b.safetensors")).toEqual(await values("a.safetensors"));
    writeFileSync(join(folder, "odd.jsonl"), '{"layer": 0, "experts": [4]}\n');
    expect((await run(path, "--recipe", "odd.jsonl", "-o", "c.safetensors")).err).toContain("are not some of the 4");
    writeFileSync(join(folder, "few.jsonl"), `${lines[0]}\n`);
    if (lines.length > 1)
      expect((await run(path, "--recipe", "few.jsonl", "-o", "c.safetensors")).err).toContain("says nothing of layer");
    expect((await run(path, "--keep", "4", "--calibration", "rows.jsonl", "-n")).err).toContain("keep fewer");
    expect((await run(path, "-n")).err).toContain("nothing says how many experts stay");
  });
});
