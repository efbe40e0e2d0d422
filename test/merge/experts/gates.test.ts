/** Rows of routers: from states of the base in float64, from embeddings, and drawn. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import { encodePrompt } from "../../../src/data/special-tokens.ts";
import { DenseModels } from "../../../src/merge/experts/dense-model.ts";
import { gateWarnings, measureGates } from "../../../src/merge/experts/gate-checks.ts";
import { drawnGates, embeddingGates, type HiddenOptions, hiddenGates } from "../../../src/merge/experts/gates.ts";
import { Model } from "../../../src/model/model.ts";
import { denseMlp, referenceLogits } from "../../model/reference.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { json, SIZES, tinyTensors, writeTiny } from "./models.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();
const tokenizer = byteTokenizer();
const CONFIG = json("llama");
const EXPERTS = [
  { name: "one", positive: ["a prompt", "another, longer one"], negative: ["no"] },
  { name: "two", positive: ["1 2 3"], negative: [] },
];

let folder: string;
let weights: Map<string, Float64Array>;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-gates-"));
  await writeTiny(folder, "base", CONFIG, 3);
  weights = new Map(
    [...(await tinyTensors(join(folder, "base")))].map(([name, { bytes }]) => [
      name,
      Float64Array.from(decodeFloats(bytes, "F32")),
    ]),
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

/** States of every layer and token of a prompt, in float64. */
function statesOf(prompt: string, input: HiddenOptions["input"]): Float64Array[][] {
  const layers = Array.from({ length: SIZES.num_hidden_layers }, (): Float64Array[] => []);
  const ids = [...encodePrompt(tokenizer, prompt)];
  referenceLogits(
    CONFIG,
    weights,
    { ids: [ids] },
    (w, prefix, h, layer) => {
      if (input === "ffn") layers[layer]!.push(Float64Array.from(h));
      return denseMlp(w, prefix, h, layer);
    },
    (name, x) => {
      const layer = /^hidden\.(\d+)$/.exec(name)?.[1];
      if (input === "residual" && layer !== undefined)
        layers[Number(layer)]?.push(...x.map((row) => Float64Array.from(row)));
      return x;
    },
  );
  return layers;
}

/** The row of an expert in a layer. */
function wanted(
  { positive, negative }: (typeof EXPERTS)[number],
  layer: number,
  { average, input }: Pick<HiddenOptions, "average" | "input">,
): number[] {
  const mean = (prompts: readonly string[]) => {
    const sum = new Float64Array(SIZES.hidden_size);
    for (const prompt of prompts) {
      const all = statesOf(prompt, input)[layer]!;
      const used = average ? all : all.slice(-1);
      for (const state of used) for (const [i, x] of state.entries()) sum[i]! += x / used.length / prompts.length;
    }
    return sum;
  };
  const away = negative.length > 0 ? mean(negative) : new Float64Array(SIZES.hidden_size);
  const row = mean(positive).map((x, i) => x - away[i]!);
  const length = Math.hypot(...row);
  return [...row.map((x) => x / length)];
}

describe("rows from states are those of float64", () => {
  const modes = [
    ["the last token's, as the router reads it", { average: false, input: "ffn" }],
    ["the mean over tokens, as the router reads it", { average: true, input: "ffn" }],
    ["the last token's, as it enters the layer", { average: false, input: "residual" }],
    ["the mean over tokens, as it enters the layer", { average: true, input: "residual" }],
  ] as const;
  test.each(modes)("%s", async (_, mode) => {
    const checkpoint = await open(join(folder, "base"));
    const model = await Model.load(gpu, checkpoint, { freeze: () => true });
    const gates = await hiddenGates(model, tokenizer, EXPERTS, { ...mode, signal });
    for (const [layer, rows] of gates.entries())
      for (const [e, expert] of EXPERTS.entries()) {
        const row = wanted(expert, layer, mode);
        for (const [i, value] of row.entries()) expect(Math.abs(rows[e * row.length + i]! - value)).toBeLessThan(1e-5);
      }
    model.free();
    checkpoint.close();
  });
});

test("rows from embeddings are the unit sum over all tokens, in every layer", async () => {
  const models = new DenseModels(() => {});
  const base = await models.open({ path: join(folder, "base") });
  const gates = await embeddingGates(base, tokenizer, EXPERTS);
  const table = weights.get("model.embed_tokens.weight")!;
  const width = SIZES.hidden_size;
  const sum = new Float64Array(width);
  for (const [sign, prompts] of [
    [1, EXPERTS[0]!.positive],
    [-1, EXPERTS[0]!.negative],
  ] as const)
    for (const prompt of prompts)
      for (const id of encodePrompt(tokenizer, prompt))
        for (let i = 0; i < width; i++) sum[i]! += sign * table[id * width + i]!;
  const length = Math.hypot(...sum);
  for (const rows of gates)
    for (let i = 0; i < width; i++) expect(Math.abs(rows[i]! - sum[i]! / length)).toBeLessThan(1e-6);
  models.close();
});

test("drawn rows have their deviation, differ by layer, and come again for a seed", () => {
  const sizes = { layers: 2, width: 400, experts: 8, seed: 1 };
  const spread = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  for (const [mode, deviation] of [
    ["random", 1],
    ["small_random", 0.02],
    ["uniform_random", 1 / 20 / Math.sqrt(3)],
  ] as const) {
    const gates = drawnGates(mode, sizes);
    expect(spread(gates[0]!) / deviation).toBeCloseTo(1, 1);
    expect(gates[0]).not.toEqual(gates[1]!);
    expect(drawnGates(mode, sizes)).toEqual(gates);
    expect(drawnGates(mode, { ...sizes, seed: 2 })).not.toEqual(gates);
  }
  expect(Math.max(...drawnGates("uniform_random", sizes)[0]!.map(Math.abs))).toBeLessThanOrEqual(1 / 20);
});

describe("the condition of rows", () => {
  test("of orthogonal rows is the ratio of their lengths, by hand", () => {
    const [finding] = measureGates([Float32Array.of(3, 0, 0, 0, 0.5, 0)], 2);
    expect(finding!.condition).toBeCloseTo(6, 10);
    expect(finding!.alike!.cosine).toBe(0);
    expect(gateWarnings([finding!], ["p", "q"])).toEqual([expect.stringContaining("(6.00 in layer 0)")]);
  });

  test("of rows at 60 degrees is the root of 3, and no warning", () => {
    const [finding] = measureGates([Float32Array.of(1, 0, 0.5, Math.sqrt(0.75))], 2);
    expect(finding!.condition).toBeCloseTo(Math.sqrt(3), 6);
    expect(finding!.alike!.cosine).toBeCloseTo(0.5, 6);
    expect(gateWarnings([finding!], ["p", "q"])).toEqual([]);
  });

  test("of equal rows is infinite, and both warnings name it", () => {
    const findings = measureGates([Float32Array.of(1, 0, 0, 1), Float32Array.of(1, 2, 1, 2)], 2);
    expect(findings[1]!.condition).toBe(Number.POSITIVE_INFINITY);
    const [poor, same] = gateWarnings(findings, ["p", "q"]);
    expect(poor).toContain("in 1 of 2 layers (infinite in layer 1)");
    expect(same).toContain("rows of p and q have a cosine of 1.0000 in layer 1");
  });
});
