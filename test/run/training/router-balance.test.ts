/** The load-balancing loss of mixtures of experts against transformers' formula in float64. */
import { expect, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../../src/run/batch-programs.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { balance, routerBalance } from "../../../src/run/training/router-balance.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { TINY_EXPERTS } from "../../support/tiny-models.ts";

covers("moe/chosen");
const gpu = await sharedGpu();

/**
 * Layers' logits as one list of tokens, each with its mask repeated by layer: how often each of the k places goes to an
 * expert, times the expert's mean probability, summed, times E. `choices` fixes the choice.
 */
function referenceLoss(layers: readonly Float64Array[], e: number, k: number, mask: readonly number[], fixed = layers) {
  const places = Array.from({ length: k }, () => new Float64Array(e));
  const likely = new Float64Array(e);
  for (const [l, logits] of layers.entries())
    for (const [n, weight] of mask.entries()) {
      const row = [...logits.subarray(n * e, n * e + e)];
      const shares = row.map((x) => Math.exp(x - Math.max(...row)));
      const whole = shares.reduce((a, b) => a + b);
      for (const [i, share] of shares.entries()) likely[i]! += (weight * share) / whole;
      const kept = fixed[l]!.subarray(n * e, n * e + e);
      const order = [...row.keys()].sort((a, b) => kept[b]! - kept[a]! || a - b);
      for (let j = 0; j < k; j++) places[j]![order[j]!]! += weight;
    }
  const all = layers.length * mask.reduce((a, b) => a + b, 0);
  let loss = 0;
  for (const place of places) for (let i = 0; i < e; i++) loss += (place[i]! / all) * (likely[i]! / all);
  return e * loss;
}

const [N, E] = [13, 5];
const MASK = Array.from({ length: N }, (_, i) => (i % 4 === 3 ? 0 : 1));
const COUNTED = MASK.filter((x) => x === 1).length;
const WEIGHTS = Float32Array.from(MASK, (x) => x / COUNTED);

test.each([1, 2, 5])("k = %d: loss and gradient over two layers, padding left out", async (k) => {
  const [one, two] = [normals(1, N * E), normals(2, N * E)];
  const fixed = [Float64Array.from(one), Float64Array.from(two)];
  await checkOp(gpu, "router balance", {
    inputs: {
      one: { shape: [N, E], data: one },
      two: { shape: [N, E], data: two },
      weights: { shape: [N, 1], data: WEIGHTS, grad: false },
    },
    build: (rec, { one, two, weights }) =>
      balance(
        rec,
        [one!, two!].map((logits) => ({ logits, k })),
        weights!,
      ),
    reference: ({ one, two }) => Float64Array.of(referenceLoss([one!, two!], E, k, MASK, fixed)),
    ...(k === E ? { backward: Number.POSITIVE_INFINITY } : {}), // without a choice the gradient is zero
  });
});

const asked = (name: "qwen2_moe" | "olmoe", more: object = {}) => ({
  ...(TINY_EXPERTS[name] as object),
  output_router_logits: true,
  router_aux_loss_coef: 0.3,
  ...more,
});
const row = (ids: number[]) => ({ ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: "x" });
const batch = collate([[row([1, 5, 7, 2, 9, 49])], [row([4, 8, 15])]], { buckets: "none" });

/** Loss, what balancing adds to it, and the gradient of the first layer's router, in a step of `total` tokens. */
async function run(json: Json, { recompute = false, balanced = true, total = batch.counted } = {}) {
  const model = await Model.fresh(gpu, json, "moe", { seed: 3 });
  const objective = crossEntropyObjective(model, { recompute, balance: balanced });
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, batch, "");
  for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, total, "");
  program.run({ accumulate: 0 });
  const loss = (await program.read("loss"))[0]!;
  const added = "balance_loss" in metrics ? (await program.read("balance_loss"))[0]! : 0;
  const gate = [...model.parameters.values()].find(({ name }) => /layers\.0\..*gate\.weight$/.test(name))!;
  const gradient = await gpu.readFloats(gate.gradient, gate.size);
  const forward = new Recorder(profileOf(gpu), { training: false });
  const { routed } = model.record(forward, recordInputs(forward, batch));
  for (const [layer, { logits }] of routed) forward.output(`router ${layer}`, logits);
  const again = await Program.compile(gpu, forward);
  fillInputs(again, batch);
  again.run();
  const layers: Float64Array[] = [];
  for (const layer of routed.keys()) layers.push(Float64Array.from(await again.read(`router ${layer}`)));
  const k = [...routed.values()][0]!.k;
  model.free();
  return { loss, added, gradient, layers, k };
}

test.each(["qwen2_moe", "olmoe"] as const)("%s: what a config asks for is added to the loss", async (name) => {
  const plain = await run(asked(name), { balanced: false });
  const found = await run(asked(name));
  const experts = found.layers[0]!.length / (batch.rows * batch.length);
  const mask = [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0];
  const wanted = 0.3 * referenceLoss(found.layers, experts, found.k, mask);
  expect(found.added).toBeCloseTo(wanted, 6);
  expect(found.loss - plain.loss).toBeCloseTo(wanted, 5);
  expect(found.gradient).not.toEqual(plain.gradient);
  const recomputed = await run(asked(name), { recompute: true });
  expect(recomputed.loss).toBe(found.loss);
  for (const [i, x] of found.gradient.entries()) expect(recomputed.gradient[i]).toBeCloseTo(x, 7);
  // A micro-batch with half of a step's tokens counts half.
  expect((await run(asked(name), { total: 2 * batch.counted })).added).toBeCloseTo(wanted / 2, 6);
});

test("a config that asks for nothing gets nothing", async () => {
  const silent = [{ output_router_logits: false }, { router_aux_loss_coef: 0 }];
  for (const more of silent) expect(routerBalance({ json: asked("olmoe", more) })).toBeUndefined();
  expect((await run(asked("olmoe", silent[0]))).added).toBe(0);
});
