/** Which layers stay, and the checkpoint of what stays. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../src/checkpoint/open.ts";
import type { DepthRule, LayerMeasure } from "../../src/compress/depth-rule.ts";
import { RowMeasure } from "../../src/compress/row-measure.ts";
import { collate } from "../../src/data/batch.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { depthOf, keptLayers } from "../../src/model/depth.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { layersFor, uniformLayers } from "../../src/run/depth/uniform.ts";
import { rowLosses } from "../../src/run/scoring/row-losses.ts";
import { Scorer } from "../../src/run/scoring/scorer.ts";
import { scale } from "../../src/tensor/ops/elementwise.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { logitsOf } from "../support/logits.ts";
import { randomWords } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-depth-"));
afterAll(() => rmSync(made, { recursive: true }));
const at = (name: string) => join(made, name);

const words = randomWords(5);
const SEQUENCES = [12, 7, 9].map((length, i) => {
  const ids = Int32Array.from({ length }, () => words() % 50);
  return { ids, labels: ids, group: 0, place: `${i}` };
});
const BATCH = collate(SEQUENCES.map((sequence) => [sequence]));
const JSON4 = { ...TINY_TEXT.llama!, num_hidden_layers: 4, vocab_size: 50 };

const config = new TextEncoder().encode(JSON.stringify(JSON4));
const whole = await Model.fresh(gpu, JSON4, "m", { seed: 3 });
await saveModel(whole, at("whole"), { files: new Map([["config.json", config]]), lineage: [] });
writeFileSync(at("rows.jsonl"), SEQUENCES.map(({ ids }) => `${JSON.stringify({ input_ids: [...ids] })}\n`).join(""));
afterAll(() => whole.free());

/** Says of rows what a list says. */
const saying = (influences: readonly number[], loss: LayerMeasure["loss"] = async () => 0): LayerMeasure => ({
  influences: async () => influences,
  loss,
});
const rule = (name: string): Promise<DepthRule> => loadMethod("depth-rule", name);
async function choose(name: string, layers: number, keep: number, measure = saying([])) {
  return (await rule(name)).choose({ layers, keep }, {}, measure);
}

describe("uniform", () => {
  test("keeps 6 of 30 layers for a speed-up of 5, as the paper's code does", () => {
    expect(uniformLayers(30, layersFor(30, 5))).toEqual([0, 6, 12, 18, 24, 29]);
    expect(uniformLayers(12, layersFor(12, 2))).toEqual([0, 2, 4, 6, 8, 11]);
  });

  test("keeps as many as asked, the first and the last among them", () => {
    for (let layers = 2; layers < 40; layers++) {
      expect(uniformLayers(layers, layersFor(layers, 1))).toEqual(Array.from({ length: layers }, (_, i) => i));
      for (let keep = 2; keep < layers; keep++) {
        const kept = uniformLayers(layers, keep);
        expect([kept.length, kept[0], kept.at(-1)]).toEqual([keep, 0, layers - 1]);
        expect(kept.every((layer, i) => i === 0 || layer > kept[i - 1]!)).toBe(true);
      }
    }
  });

  test("refuses to keep fewer than two", () => {
    expect(() => uniformLayers(6, 1)).toThrow("of 6 layers 1 would stay");
  });
});

test("first and last leave out layers at an end", async () => {
  expect(await choose("first", 5, 3)).toEqual([2, 3, 4]);
  expect(await choose("last", 5, 3)).toEqual([0, 1, 2]);
});

test("cosine leaves out what turns its input least, of equal ones the higher layer", async () => {
  expect(await choose("cosine", 4, 2, saying([0.1, 0.3, 0.05, 0.2]))).toEqual([1, 3]);
  expect(await choose("cosine", 3, 2, saying([0.1, 0.1, 0.1]))).toEqual([0, 1]);
});

test("loss takes the best layer out again and again, which may not be the best set", async () => {
  const costs: Record<string, number> = { "1,2,3": 4, "0,2,3": 1, "0,1,3": 2, "0,1,2": 3 };
  const next: Record<string, number> = { "2,3": 7, "0,3": 5, "0,2": 6 };
  const measure = saying([], async (kept) => costs[kept.join()] ?? next[kept.join()] ?? Number.NaN);
  expect(await choose("loss", 4, 2, measure)).toEqual([0, 3]);
});

describe("on rows", () => {
  const signal = new AbortController().signal;

  test("a loss is that of the pass without the layers", async () => {
    const measure = new RowMeasure(whole, [BATCH], { signal });
    const scorer = new Scorer(whole);
    const plain = await rowLosses(scorer, SEQUENCES, { rows: 3, signal });
    const counted = plain.reduce((sum, row) => sum + row.counted, 0);
    expect(await measure.loss([0, 1, 2, 3])).toBeCloseTo(plain.reduce((sum, row) => sum + row.sum, 0) / counted, 5);
    const short = new Scorer(whole, undefined, {
      depth: { record: () => depthOf([1, 0, 1, 1]), fill() {} },
    });
    const without = await rowLosses(short, SEQUENCES, { rows: 3, signal });
    expect(await measure.loss([0, 2, 3])).toBeCloseTo(without.reduce((sum, row) => sum + row.sum, 0) / counted, 5);
    await Promise.all([measure.free(), scorer.free(), short.free()]);
  });

  test("influences are cosines of states, without padding", async () => {
    const rec = new Recorder(profileOf(gpu), { training: false });
    const { notes } = whole.record(rec, recordInputs(rec, BATCH));
    for (let layer = 0; layer <= 4; layer++) rec.output(`${layer}`, scale(rec, notes.get(`hidden.${layer}`)!, 1));
    const program = await Program.compile(gpu, rec);
    fillInputs(program, BATCH);
    program.run();
    const states: Float32Array[] = [];
    for (let layer = 0; layer <= 4; layer++) states.push(Float32Array.from(await program.read(`${layer}`)));
    program.free();
    const width = states[0]!.length / (BATCH.rows * BATCH.length);
    const cosine = (a: Float32Array, b: Float32Array) => {
      const of = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
      return of(a, b) / Math.sqrt(of(a, a) * of(b, b));
    };
    const wanted = [0, 1, 2, 3].map((layer) => {
      const values: number[] = [];
      for (const [row, length] of BATCH.lengths.entries())
        for (let t = 0; t < length; t++) {
          const place = (row * BATCH.length + t) * width;
          const [a, b] = [states[layer]!, states[layer + 1]!].map((x) => x.subarray(place, place + width));
          values.push(cosine(a!, b!));
        }
      return 1 - values.reduce((a, b) => a + b, 0) / values.length;
    });
    const found = await new RowMeasure(whole, [BATCH], { signal }).influences();
    for (const [layer, value] of wanted.entries()) expect(found[layer]).toBeCloseTo(value, 5);
  });
});

describe("compress depth", () => {
  /** Logits of a checkpoint on the rows. */
  async function logitsIn(path: string): Promise<Float32Array> {
    const checkpoint = await open(path);
    const model = await Model.load(gpu, checkpoint, { freeze: () => true });
    const logits = await logitsOf(gpu, model, BATCH);
    model.free();
    await checkpoint.close();
    return logits;
  }

  test("writes a model that computes what the whole one does without the layers", async () => {
    await runScript("compress", ["depth", at("whole"), "--speedup", "2", "-o", at("half")], made);
    const kept = keptLayers([0, 3], 4);
    const rec = new Recorder(profileOf(gpu), { training: false });
    const { hidden, head } = whole.record(rec, recordInputs(rec, BATCH), { depth: kept });
    rec.output("logits", head(hidden));
    const program = await Program.compile(gpu, rec);
    fillInputs(program, BATCH);
    program.run();
    expect(await logitsIn(at("half"))).toEqual(Float32Array.from(await program.read("logits")));
    program.free();
  });

  test("chooses by rows, and keeps what is named", async () => {
    const rows = ["--calibration", at("rows.jsonl")];
    const found = await runScript(
      "compress",
      [...["depth", at("whole"), "--method", "cosine", "--drop", "1", ...rows, "--json", "-o", at("three")]],
      made,
    );
    const { kept, layers } = JSON.parse(found.text);
    expect([kept.length, layers]).toEqual([3, 4]);
    await runScript("compress", ["depth", at("whole"), "--layers", "0,1,2,3", "-o", at("all")], made);
    expect(await logitsIn(at("all"))).toEqual(await logitsIn(at("whole")));
  });

  test("refuses what says nothing, or two things", async () => {
    const said = async (...argv: string[]) => {
      const { err, code } = await runScript("compress", ["depth", at("whole"), ...argv, "-o", at("no")], made);
      expect(code).toBe(2);
      return err;
    };
    expect(await said()).toContain("how many layers go is to be said once");
    expect(await said("--drop", "4")).toContain("leaves nothing of the 4 layers");
    expect(await said("--layers", "0,4")).toContain("4 does not rise within the 4 layers");
    expect(await said("--method", "loss", "--drop", "1")).toContain("chooses by what rows say");
    expect(await said("--drop", "1", "--calibration", at("rows.jsonl"))).toContain("--method uniform reads no rows");
  });
});
