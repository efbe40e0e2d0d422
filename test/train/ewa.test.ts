/**
 * Experts on random shares of tokens: one alone is the dense model, pulls keep the mean, a whole pull makes all equal.
 */
import { describe, expect, test } from "bun:test";
import type { Sequence } from "../../src/data/sequences.ts";
import { type Bound, bindDefaults } from "../../src/method/bind.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { sequenceBatches } from "../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import type { Optimizer } from "../../src/run/training/optimizer.ts";
import { trainModel } from "../../src/run/training/train-model.ts";
import type { Parameter } from "../../src/tensor/parameter.ts";
import { ExpertShares, withShares } from "../../src/train/layers/ewa.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { method as sgd } from "../../src/train/methods/optimizers/sgd.ts";
import { covers } from "../support/covers.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";

covers("moe/pull-together");

const gpu = await sharedGpu();
const { signal } = new AbortController();

const rows: Sequence[] = Array.from({ length: 8 }, (_, i) => {
  const ids = Int32Array.from({ length: 5 + (i % 3) }, (_, at) => (7 * i + 3 * at + at * at) % 50);
  return { ids, labels: ids, group: 0, place: `rows:${i}` };
});
const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0);
const counts = { rows: rows.length, sequences: rows.length, tokens, counted: tokens - rows.length };
const data = {
  sequences: rows,
  groups: [{ name: "rows", ...counts, lengths: Int32Array.from(rows, ({ ids }) => ids.length) }],
};

const floats = ({ buffer, size }: Parameter) => gpu.readFloats(buffer, size);

interface Training {
  readonly steps?: number;
  readonly recompute?: boolean;
  readonly optimizer?: Bound<Optimizer>;
}

async function trained(
  json: Json,
  way?: { experts: number; share: number },
  { steps = 3, recompute = false, optimizer = bindDefaults(adamw) }: Training = {},
) {
  const model = await Model.fresh(gpu, json, "tiny", { seed: 1 });
  const shares = way && new ExpertShares(model, { ...way, steps });
  await trainModel({
    model,
    source: sequenceBatches(data, { batchSize: 3, seed: 0 }),
    objective: withShares(crossEntropyObjective(model, { recompute }), shares),
    optimizer,
    decays: ({ shape }) => shape.length > 1,
    rate: () => 0.01,
    steps,
    accumulate: 2,
    clip: 1,
    seed: 0,
    extra: shares?.parameters ?? [],
    signal,
    // Freed by hand, after what it holds was read.
    updates: shares ? [{ name: "ewa", after: (step) => shares.after(step) }] : [],
  });
  const weights = new Map<string, Float32Array>();
  for (const [name, parameter] of model.parameters) weights.set(name, await floats(parameter));
  const experts = new Map<string, Float32Array>();
  for (const parameter of shares?.parameters ?? [])
    experts.set(parameter.name.replace("experts of ", ""), await floats(parameter));
  shares?.free();
  model.free();
  return { weights, experts };
}

/** The part of every expert. */
const partsOf = (all: Float32Array, experts: number): Float32Array[] =>
  Array.from({ length: experts }, (_, e) => all.subarray((e * all.length) / experts, ((e + 1) * all.length) / experts));

describe.each(["llama", "gpt2"])("%s", (name) => {
  const json = TINY_TEXT[name]!;

  test("one expert is the dense model", async () => {
    // AdamW would make whole steps of gradients that are nothing but rounding.
    const plain = { optimizer: bindDefaults(sgd) };
    const [one, dense] = [
      await trained(json, { experts: 1, share: 0.3 }, plain),
      await trained(json, undefined, plain),
    ];
    for (const [at, values] of one.weights) {
      const wanted = dense.weights.get(at)!;
      const far = Math.hypot(...values.map((value, i) => value - wanted[i]!));
      expect(far).toBeLessThan(1e-4 * Math.hypot(...wanted));
    }
  });

  test("experts of the second block learn apart, and the model is their mean", async () => {
    const { weights, experts } = await trained(json, { experts: 3, share: 0 });
    expect([...experts.keys()].every((at) => /\.1\..*mlp/.test(at))).toBe(true);
    expect(experts.size).toBe(name === "llama" ? 3 : 4); // biases, too
    for (const [at, all] of experts) {
      const parts = partsOf(all, 3);
      expect(parts[0]).not.toEqual(parts[1]);
      for (const [i, value] of weights.get(at)!.entries())
        expect(value).toBeCloseTo((parts[0]![i]! + parts[1]![i]! + parts[2]![i]!) / 3, 5);
    }
  });

  test("a pull of (N - 1) / N makes them equal, bit for bit", async () => {
    const { weights, experts } = await trained(json, { experts: 4, share: 0.75 }, { steps: 1 });
    for (const [at, all] of experts) for (const part of partsOf(all, 4)) expect(part).toEqual(weights.get(at)!);
  });

  test("blocks that are recomputed share tokens out alike", async () => {
    const way = { experts: 2, share: 0.1 };
    expect((await trained(json, way, { steps: 1, recompute: true })).experts).toEqual(
      (await trained(json, way, { steps: 1 })).experts,
    );
  });
});

describe("a pull", () => {
  test.each([2, 3, 5])("of %d experts goes b / (N - 1) to each other one, and keeps their sum", async (experts) => {
    const model = await Model.fresh(gpu, TINY_TEXT.llama!, "tiny", { seed: 1 });
    const shares = new ExpertShares(model, { experts, share: 0.4, steps: 4 });
    const [first] = shares.parameters;
    const before = normals(5, first!.size);
    first!.write(before);
    await shares.after(3); // b = 0.3
    const after = await floats(first!);
    const [was, is] = [partsOf(before, experts), partsOf(after, experts)];
    for (let i = 0; i < was[0]!.length; i++) {
      const sum = was.reduce((all, part) => all + part[i]!, 0);
      expect(is.reduce((all, part) => all + part[i]!, 0)).toBeCloseTo(sum, 5);
      for (const [e, part] of was.entries())
        expect(is[e]![i]!).toBeCloseTo(0.7 * part[i]! + (0.3 * (sum - part[i]!)) / (experts - 1), 5);
    }
    shares.free();
    model.free();
  });

  test("of experts that are equal gives their values, bit for bit", async () => {
    const model = await Model.fresh(gpu, TINY_TEXT.gpt2!, "tiny", { seed: 1 });
    const weights = () => Promise.all([...model.parameters.values()].map(floats));
    const before = await weights();
    const shares = new ExpertShares(model, { experts: 3, share: 1, steps: 1 });
    await shares.after(1);
    expect(await weights()).toEqual(before);
    shares.free();
    model.free();
  });
});

test("mixtures, models without blocks, frozen networks and adapters are refused", async () => {
  const options = { experts: 2, share: 0.1, steps: 1 };
  const refused = [
    [TINY_EXPERTS.mixtral!, {}, "has routers"],
    [{ model_type: "mlp", input_size: 4, hidden_sizes: [6], num_labels: 3 }, {}, "this mlp has none"],
    [TINY_TEXT.llama!, { freeze: (name: string) => name.includes("mlp") }, "which is frozen"],
    [TINY_TEXT.llama!, { lora: { rank: 2, alpha: 2, seed: 0 } }, "an adapter leaves them as they are"],
    [TINY_TEXT.llama!, { dtype: "bf16" as const }, "which is held in bf16"],
  ] as const;
  for (const [json, how, message] of refused) {
    const model = await Model.fresh(gpu, json, "tiny", { seed: 1, ...how });
    expect(() => new ExpertShares(model, options)).toThrow(message);
    model.free();
  }
});
