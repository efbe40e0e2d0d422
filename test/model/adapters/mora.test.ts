/** MoRA: the ranks' weights in float64 with their gradients, LoRA as its limit, and what is refused. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loraChoice } from "../../../src/model/adapters/lora/type.ts";
import { method } from "../../../src/model/adapters/methods/mora.ts";
import { rankWeights } from "../../../src/model/adapters/rank-weights.ts";
import { Model } from "../../../src/model/model.ts";
import { mul } from "../../../src/tensor/ops/elementwise.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();

interface Settings {
  readonly active: number;
  readonly temperature: number;
  readonly threshold: number;
}

/** The weights of one row, as the method is written down. */
function weightsOf(a: readonly number[], { active, temperature, threshold }: Settings): number[] {
  const length = Math.sqrt(a.reduce((sum, x) => sum + x * x, 0) + 1e-12);
  const shares = a.map((x) => x / length);
  const raised = shares.map((s) => Math.exp(s / temperature));
  const total = raised.reduce((sum, x) => sum + x, 0);
  const order = shares.map((_, i) => i).sort((i, j) => shares[j]! - shares[i]! || i - j);
  const kept = new Set(order.slice(0, active));
  return raised.map((x, i) => (kept.has(i) && shares[i]! >= threshold ? x / total : 0));
}

const ROWS = 9;
const RANK = 6;
const activations = normals(3, ROWS * RANK, 2);
activations.fill(0, (ROWS - 1) * RANK); // an input that no rank knows

test.each<Settings>([
  { active: 6, temperature: 0.5, threshold: -1 },
  { active: 2, temperature: 0.3, threshold: -1 },
  { active: 4, temperature: 1, threshold: 0 },
  { active: 6, temperature: 0.2, threshold: 0.35 },
])("weights of ranks, and the gradient of what they weigh: %o", async (settings) => {
  await checkOp(gpu, "weights of ranks", {
    inputs: { a: { shape: [ROWS, RANK], data: activations } },
    build: (rec, { a }) => mul(rec, rankWeights(rec, a!, settings), a!),
    reference: ({ a }) =>
      Float64Array.from(
        Array.from({ length: ROWS }, (_, row) => {
          const own = [...a!.subarray(row * RANK, (row + 1) * RANK)];
          return weightsOf(own, settings).map((w, i) => w * own[i]!);
        }).flat(),
      ),
    // The last row has no direction at 0, where differences see another function.
    entries: ROWS * RANK - RANK,
    step: 1e-4,
  });
});

test("the largest ranks count, of them those from the threshold on, and weights do not grow for the others", async () => {
  const build = (settings: Settings) =>
    runOp(gpu, {
      inputs: { a: { shape: [1, 4], data: Float32Array.of(3, -4, 0, 12) } }, // length 13
      build: (rec, { a }) => rankWeights(rec, a!, settings),
    });
  const raised = [3, -4, 0, 12].map((x) => Math.exp(x / 13));
  const total = raised.reduce((a, b) => a + b);
  const shares = raised.map((x) => x / total);
  const expectClose = (found: Float32Array, wanted: readonly number[]) =>
    found.forEach((x, i) => {
      expect(x).toBeCloseTo(wanted[i]!, 6);
    });
  const { outputs: all } = await build({ active: 4, temperature: 1, threshold: -1 });
  expectClose(all.y!, shares);
  const { outputs: two } = await build({ active: 2, temperature: 1, threshold: -1 });
  expectClose(two.y!, [shares[0]!, 0, 0, shares[3]!]);
  const { outputs: positive } = await build({ active: 4, temperature: 1, threshold: 0 });
  expectClose(positive.y!, [shares[0]!, 0, shares[2]!, shares[3]!]);
  const { outputs: strong } = await build({ active: 3, temperature: 1, threshold: 0.5 });
  expectClose(strong.y!, [0, 0, 0, shares[3]!]);
});

const IDS = Int32Array.of(1, 5, 7, 2, 9, 36, 4, 8);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "" }]], { buckets: "none" });

/** Logits with drawn factors of rank 4 and alpha 6. */
async function logitsWith(name: string, json: (typeof TINY_TEXT)[string], values: Readonly<Record<string, unknown>>) {
  const making = { seed: 1 };
  const own = { adapter_rank: 4, adapter_alpha: 6, ...values };
  const choice =
    name === "lora" ? loraChoice({ rank: 4, alpha: 6, ...making }) : { type: bindDefaults(method, own), ...making };
  const model = await Model.fresh(gpu, json, "model", { seed: 3, adapter: choice });
  const drawn = model.trainable();
  for (const [i, parameter] of drawn.entries()) parameter.write(normals(i, parameter.size, 0.3));
  const logits = await logitsOf(gpu, model, BATCH);
  const shapes = drawn.map(({ shape }) => shape.join());
  model.free();
  return { logits, shapes };
}

test.each(["llama", "gpt2"])("with all ranks and a large temperature it is LoRA, on %s", async (name) => {
  const json = TINY_TEXT[name]!;
  const lora = await logitsWith("lora", json, {});
  const even = await logitsWith("mora", json, { mora_active: 4, mora_temperature: 1e9, mora_threshold: -1 });
  expect(even.shapes).toEqual(lora.shapes);
  const most = lora.logits.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
  const gap = (found: Float32Array) => found.reduce((a, x, i) => Math.max(a, Math.abs(x - lora.logits[i]!)), 0) / most;
  expect(gap(even.logits)).toBeLessThan(1e-5);
  const sparse = await logitsWith("mora", json, {});
  expect(gap(sparse.logits)).toBeGreaterThan(1e-2);
});

test("ranks that face what an input is like are those that count for it", async () => {
  // Three ranks for each of three subspaces of eight directions.
  const [into, own] = [24, 3];
  const keys = new Float32Array(3 * own * into);
  for (let r = 0; r < 3 * own; r++) {
    const first = Math.floor(r / own) * 8;
    keys.set(normals(r + 40, 8, 1), r * into + first);
  }
  for (let space = 0; space < 3; space++) {
    const x = new Float32Array(into);
    x.set(normals(space + 7, 8, 1), space * 8);
    const a = Float32Array.from({ length: 3 * own }, (_, r) =>
      x.reduce((sum, value, i) => sum + value * keys[r * into + i]!, 0),
    );
    const { outputs } = await runOp(gpu, {
      inputs: { a: { shape: [1, 3 * own], data: a } },
      build: (rec, { a }) => mul(rec, rankWeights(rec, a!, { active: own, temperature: 0.5, threshold: 0 }), a!),
    });
    for (const [r, x] of outputs.y!.entries()) if (Math.floor(r / own) !== space) expect(x).toBe(0);
    expect(outputs.y!.some((x) => x !== 0)).toBe(true);
  }
});

test("more ranks than there are cannot count", () => {
  const type = bindDefaults(method, { adapter_rank: 4, mora_active: 5 });
  expect(Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 3, adapter: { type, seed: 1 } })).rejects.toThrow(
    "5 ranks are to count (mora_active), and there are 4",
  );
});
