/** Attention transfer: the loss against float64, what padding and packing do to it, and the way its gradient takes. */

import { describe, expect, test } from "bun:test";
import { type Batch, collate, isTokens, stackExamples } from "../../src/data/batch.ts";
import { targetsOf } from "../../src/data/targets.ts";
import { mapDistance } from "../../src/distill/attended.ts";
import type { DistillMethod } from "../../src/distill/contract.ts";
import { method as attention } from "../../src/distill/methods/attention.ts";
import { distillObjective } from "../../src/distill/objective.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { liveTeacher } from "../../src/run/teachers/teacher.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { learn, sequencesOf } from "../experiments/distill-support.ts";
import { exactDistance, exactMaps, exactMean, type MapCase } from "../support/attention.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals, randomUnits } from "../support/random.ts";
import { TINY_EXAMPLES, TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";
import { lossOf } from "./objective.ts";

const gpu = await sharedGpu();
const method = attention as never as DistillMethod;
const fresh = (json: Json, seed: number) => Model.fresh(gpu, json, "tiny", { seed });
const LLAMA = TINY_TEXT.llama!;
/** As many heads, on half the layers. */
const SMALL = { ...LLAMA, num_hidden_layers: 1 };
/** Two heads with keys of their own. */
const TWO = { ...LLAMA, hidden_size: 16, num_attention_heads: 2, num_key_value_heads: 2 };

const unit = randomUnits(5);
const rows = sequencesOf([9, 17, 4].map((length) => Array.from({ length }, () => Math.floor(unit() * 50))));
const padded = collate(
  rows.map((row) => [row]),
  { buckets: "none" },
);
const packed = collate([[rows[0]!, rows[2]!], [rows[1]!]], { buckets: "none" });
const images = stackExamples(
  Array.from({ length: 3 }, (_, i) => ({ x: normals(20 + i, 36), shape: [1, 6, 6], label: i })),
);

/** Maps of a layer, from the queries and keys that the model hands out. */
async function exactMapsOf(model: Model, batch: Batch, layer: number) {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { attended } = model.record(rec, recordInputs(rec, batch));
  const { q, k, options } = attended.get(layer - 1)!;
  rec.output("q", q);
  rec.output("k", k);
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const [queries, keys] = [await program.read("q"), await program.read("k")];
  program.free();
  const { heads, kvHeads, headDim: d, causal, window } = options;
  const t = q.shape[0]! / batch.rows;
  const segments = isTokens(batch) && batch.packed ? { segments: batch.segments } : {};
  const given: MapCase = {
    batch: batch.rows,
    t,
    heads,
    kvHeads,
    d,
    causal,
    ...(window ? { window } : {}),
    ...segments,
  };
  return { maps: exactMaps(given, queries as Float32Array, keys as Float32Array), heads, t };
}

/** The loss in float64: of every pair the mean over heads, and that over what counts. */
async function exactLoss(
  [student, teacher]: readonly [Model, Model],
  batch: Batch,
  pairs: readonly (readonly [number, number])[],
  kind: string,
): Promise<number> {
  let total = 0;
  for (const [s, l] of pairs) {
    const [own, theirs] = [await exactMapsOf(student, batch, s), await exactMapsOf(teacher, batch, l)];
    const { t, heads } = own;
    const each =
      heads === theirs.heads
        ? exactMean(exactDistance(own.maps, theirs.maps, t, kind), batch.rows, heads)
        : exactDistance(
            exactMean(own.maps, batch.rows, heads),
            exactMean(theirs.maps, batch.rows, theirs.heads),
            t,
            kind,
          ); // (B, T)
    const counts = isTokens(batch) ? [...targetsOf(batch)].map((target) => target >= 0) : each.map(() => 1);
    const kept = [...each].filter((_, i) => counts[i]);
    total += kept.reduce((a, b) => a + b, 0) / kept.length;
  }
  return total / pairs.length;
}

const run = (
  [model, teacher]: readonly [Model, Model],
  batch: Batch,
  settings: Record<string, unknown> = {},
  more: { recompute?: boolean; weights?: { distill: number; labels: number } } = {},
) =>
  lossOf(
    {
      model,
      method,
      teachers: [liveTeacher(teacher, model.sizes.outputs)],
      settings,
      weights: { distill: 1, labels: 0 },
      ...more,
    },
    batch,
  );

async function withModels<T>(jsons: readonly [Json, Json], use: (models: readonly [Model, Model]) => Promise<T>) {
  const models = [await fresh(jsons[0], 1), await fresh(jsons[1], 2)] as const;
  try {
    return await use(models);
  } finally {
    for (const model of models) model.free();
  }
}

describe("the loss agrees with float64", () => {
  test.each([
    ["grouped keys, padded rows", [SMALL, LLAMA], padded, "1:2"],
    ["grouped keys, packed rows", [SMALL, LLAMA], packed, "last:1"],
    ["another number of heads, packed rows", [TWO, LLAMA], packed, "1:1,2:2"],
    ["another number of heads, padded rows", [LLAMA, TWO], padded, "1:2"],
    ["a window against none", [TINY_TEXT.mistral!, LLAMA], padded, "2:2"],
    ["a teacher with a window", [LLAMA, TINY_TEXT.mistral!], packed, "2:2"],
    ["norms of queries and keys", [TINY_TEXT.qwen3!, TINY_TEXT.gpt2!], packed, "1:last"],
    ["fused queries and keys", [TINY_TEXT.gpt2!, TINY_TEXT.qwen2!], padded, "2:1"],
    ["experts", [TINY_EXPERTS.mixtral!, LLAMA], padded, "1:1"],
    ["images", [TINY_EXAMPLES.vit!, { ...TINY_EXAMPLES.vit!, num_attention_heads: 2 }], images, "1:1,2:2"],
  ] as const)("%s", (_, jsons, batch, layers) =>
    withModels(jsons, async (models) => {
      const pairs = layers.split(",").map((pair) => {
        const [s, t] = pair.split(":");
        const at = (layer: string, i: number) => (layer === "last" ? models[i]!.sizes.layers : Number(layer));
        return [at(s!, 0), at(t!, 1)] as const;
      });
      for (const distance of ["kl", "mse"]) {
        if (distance === "kl" && jsons[0] === TINY_TEXT.mistral) continue; // refused, see below
        const { metrics } = await run(models, batch, { layers, distance });
        const exact = await exactLoss(models, batch, pairs, distance);
        expect(exact).toBeGreaterThan(0.003);
        expect(Math.abs(metrics.distill! / exact - 1)).toBeLessThan(2e-5);
        expect(metrics.loss).toBe(metrics.distill!);
      }
    }),
  );
});

describe("what the seam hands out", () => {
  const once = (length: number) => collate([sequencesOf([Array.from({ length }, () => 7)])], { buckets: "none" });

  test("is rotated: of equal tokens the scores go by how far apart they are", async () => {
    const model = await fresh(SMALL, 1);
    const { maps, t } = await exactMapsOf(model, once(6), 1);
    model.free();
    const score = (query: number, key: number) => Math.log(maps[query * t + key]! / maps[query * t + query]!);
    for (const apart of [1, 2, 3]) {
      expect(Math.abs(score(3, 3 - apart))).toBeGreaterThan(1e-3);
      expect(score(5, 5 - apart)).toBeCloseTo(score(3, 3 - apart), 4);
    }
  });

  test("is normalised where the architecture does so", async () => {
    const model = await fresh(TINY_TEXT.qwen3!, 1);
    const rec = new Recorder(profileOf(gpu), { training: false });
    const { q, options } = model.record(rec, recordInputs(rec, padded)).attended.get(1)!;
    rec.output("q", q);
    const program = await Program.compile(gpu, rec);
    fillInputs(program, padded);
    program.run();
    const queries = await program.read("q");
    program.free();
    model.free();
    const d = options.headDim;
    for (let at = 0; at < queries.length; at += d)
      expect(Math.hypot(...queries.subarray(at, at + d)) / Math.sqrt(d)).toBeCloseTo(1, 4);
  });
});

test.each(["kl", "mse"])("equal models are no loss, and pull at nothing: %s", async (distance) => {
  const [one, same] = [await fresh(LLAMA, 1), await fresh(LLAMA, 1)];
  for (const batch of [padded, packed]) {
    const { metrics, gradients } = await run([one, same], batch, { layers: "1:1,2:2", distance });
    expect(metrics.distill).toBe(0);
    expect(Math.max(...gradients.map(Math.abs))).toBeLessThan(1e-6);
  }
  one.free();
  same.free();
});

test("rows that are padded or packed are worth what they are alone", () =>
  withModels([TWO, LLAMA], async (models) => {
    const alone: (Awaited<ReturnType<typeof run>> & { counted: number })[] = [];
    for (const row of rows) {
      const batch = collate([[row]], { buckets: "none" });
      alone.push({ counted: batch.counted, ...(await run(models, batch)) });
    }
    const counted = alone.reduce((sum, one) => sum + one.counted, 0);
    const loss = alone.reduce((sum, one) => sum + (one.counted / counted) * one.metrics.distill!, 0);
    const gradient = alone[0]!.gradients.map((_, i) =>
      alone.reduce((sum, one) => sum + (one.counted / counted) * one.gradients[i]!, 0),
    );
    const most = Math.max(...gradient.map(Math.abs));
    expect(most).toBeGreaterThan(1e-3);
    for (const batch of [padded, packed]) {
      const { metrics, gradients } = await run(models, batch);
      expect(Math.abs(metrics.distill! / loss - 1)).toBeLessThan(1e-5);
      expect(Math.max(...gradients.map((d, i) => Math.abs(d - gradient[i]!))) / most).toBeLessThan(2e-5);
    }
  }));

describe("its gradient", () => {
  const STUDENTS: Record<string, readonly [Json, Json, Batch]> = {
    llama: [LLAMA, LLAMA, packed],
    "other heads": [TWO, LLAMA, packed],
    qwen3: [TINY_TEXT.qwen3!, LLAMA, padded],
    gpt2: [TINY_TEXT.gpt2!, LLAMA, padded],
    mixtral: [TINY_EXPERTS.mixtral!, LLAMA, padded],
    vit: [TINY_EXAMPLES.vit!, TINY_EXAMPLES.vit!, images],
  };

  test.each(Object.entries(STUDENTS))(
    "is the slope of the loss, recomputed or not: %s",
    (_, [student, teacher, batch]) =>
      withModels([student, teacher], async (models) => {
        for (const distance of student === LLAMA ? ["kl", "mse"] : ["kl"]) {
          const settings = { layers: "1:2,2:1", distance };
          const { metrics, gradients } = await run(models, batch, settings);
          const again = await run(models, batch, settings, { recompute: true });
          expect(again.metrics).toEqual(metrics);
          expect(again.gradients).toEqual(gradients);

          // Along the gradient itself, by central differences.
          const length = Math.hypot(...gradients);
          expect(length).toBeGreaterThan(1e-3);
          const kept: Float32Array[] = [];
          for (const { buffer, size } of models[0].trainable()) kept.push(await gpu.readFloats(buffer, size));
          const at = async (by: number) => {
            let start = 0;
            for (const [i, parameter] of models[0].trainable().entries()) {
              const from = start;
              parameter.write(kept[i]!.map((w, j) => w + (by * gradients[from + j]!) / length));
              start += parameter.size;
            }
            return (await run(models, batch, settings)).metrics.distill!;
          };
          const step = 4e-3;
          const slope = ((await at(step)) - (await at(-step))) / (2 * step);
          const half = ((await at(step / 2)) - (await at(-step / 2))) / step;
          await at(0);
          expect(Math.abs((4 * half - slope) / 3 / length - 1)).toBeLessThan(5e-3);
        }
      }),
  );

  test("comes to the labels' own in recomputed blocks too", () =>
    withModels([TWO, LLAMA], async (models) => {
      const weights = { distill: 0.7, labels: 1 };
      const plain = await run(models, packed, {}, { weights });
      const again = await run(models, packed, {}, { weights, recompute: true });
      expect(again.gradients).toEqual(plain.gradients);
      const alone = await run(models, packed, {}, { weights: { distill: 0, labels: 1 } });
      const drawn = await run(models, packed);
      for (const [i, d] of plain.gradients.entries())
        expect(Math.abs(d - alone.gradients[i]! - 0.7 * drawn.gradients[i]!)).toBeLessThan(1e-5);
    }));
});

test("training lowers it, and the student comes to see as the teacher does", () =>
  withModels([SMALL, LLAMA], async (models) => {
    const pairs = [[1, 2]] as const;
    const before = await exactLoss(models, padded, pairs, "kl");
    const heard = await learn(models[0], {
      method,
      teachers: [models[1]],
      data: { next: () => ({ batch: padded }) },
      steps: 30,
      lr: 0.02,
      weights: { distill: 1, labels: 0 },
    });
    expect(heard[0]!.distill).toBeCloseTo(before, 4);
    expect(await exactLoss(models, padded, pairs, "kl")).toBeLessThan(0.2 * before);
  }));

test("of several pairs the maps of one exist at a time", () =>
  withModels([LLAMA, LLAMA], async (models) => {
    const [b, t] = [2, 48];
    const batch = collate(
      sequencesOf(Array.from({ length: b }, () => Array.from({ length: t }, (_, i) => i))).map((row) => [row]),
      { buckets: "none" },
    );
    const peak = async (layers: string) => {
      const objective = distillObjective({
        model: models[0],
        chosen: bindDefaults(method, { layers }),
        teachers: [liveTeacher(models[1], 50)],
        extra: new Map(),
        weights: { distill: 1, labels: 0 },
      });
      const rec = new Recorder(profileOf(gpu));
      rec.backward(objective.record(rec, batch, "").backward);
      const program = await Program.compile(gpu, rec);
      const { bytes } = program.plan;
      program.free();
      return bytes;
    };
    const map = 4 * b * 3 * t * t;
    const one = await peak("1:1");
    expect(one).toBeGreaterThan(2 * map);
    expect((await peak("1:1,1:2,2:1,2:2")) - one).toBeLessThan(map);
  }));

describe("refusals", () => {
  test("models without attention, and layers that have none", () =>
    withModels([TINY_EXAMPLES.mlp!, TINY_EXAMPLES.mlp!], async (mlps) => {
      const points = stackExamples([{ x: normals(1, 7), shape: [7], label: 0 }]);
      await expect(run(mlps, points)).rejects.toThrow("the student has no attention");
      await withModels([SMALL, LLAMA], async (models) => {
        for (const [layers, message] of [
          ["2:1", "the student has no attention in layer 2"],
          ["1:3", "the teacher has no attention in layer 3"],
          ["0:1", "the student has no attention in layer 0"],
        ])
          await expect(run(models, padded, { layers })).rejects.toThrow(`--layers: ${message}`);
      });
    }));

  test("images that are cut otherwise", () =>
    withModels([TINY_EXAMPLES.vit!, { ...TINY_EXAMPLES.vit!, patch_size: 3 }], async (models) => {
      await expect(run(models, images)).rejects.toThrow(
        "the student attends to 10 tokens of an example, the teacher to 5",
      );
    }));

  test("KL where the student cannot see what the teacher does", () =>
    withModels([TINY_TEXT.mistral!, LLAMA], async (models) => {
      await expect(run(models, padded)).rejects.toThrow(
        "the student sees 5 tokens, the teacher 17: KL has no bound there",
      );
      const within = collate([[sequencesOf([[3, 1, 4, 1, 5]])[0]!]], { buckets: "none" });
      expect((await run(models, within)).metrics.distill).toBeLessThan(10);
    }));

  test("maps that no buffer holds", () => {
    const rec = new Recorder({ subgroupSize: 0, software: true, maxBinding: 2 ** 20 });
    const attended = (t: number) => ({
      q: rec.input(`q${t}`, [2 * t, 12]),
      k: rec.input(`k${t}`, [2 * t, 4]),
      options: { batch: 2, heads: 3, kvHeads: 1, headDim: 4, causal: true },
    });
    expect(mapDistance(rec, attended(209), attended(209), "kl").shape).toEqual([2, 209]);
    expect(() => mapDistance(rec, attended(210), attended(210), "kl")).toThrow(
      "the student's attention map of 2 x 3 x 210 x 210 values is more than this device binds, 1048576 bytes",
    );
  });
});
