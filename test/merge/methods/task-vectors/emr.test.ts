import { expect, test } from "bun:test";
import { method as emr } from "../../../../src/merge/methods/task-vectors/emr.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { covers } from "../../../support/covers.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { mergeArrays, mergeOne } from "../../merge-arrays.ts";

covers("merge/emr", "merge/emr-sums");

const array = (size: number, seed: number) => randomArray(size, normal(seed)).map(Math.fround);

/** The unified change, in f64. */
function unified(tau: readonly Float64Array[]): Float64Array {
  return tau[0]!.map((_, i) => {
    const sign = Math.sign(tau.reduce((sum, own) => sum + own[i]!, 0));
    return sign * Math.max(0, ...tau.map((own) => sign * own[i]!));
  });
}

/** A model's part of it, and the scale of that part over all tensors. */
const part = (own: Float64Array, all: Float64Array) => all.map((u, i) => (u * own[i]! > 0 ? u : 0));
const size = (x: Float64Array) => x.reduce((sum, value) => sum + Math.abs(value), 0);

test("unifies changes, and gives models back by mask and scale over all tensors", async () => {
  const gpu = await sharedGpu();
  for (const count of [1, 2, 5]) {
    const tensors = [
      ["model.layers.0.w.weight", [7, 130]],
      ["model.layers.1.w.weight", [33, 257]],
      ["model.norm.weight", [5]],
    ].map(([name, shape], t) => {
      const n = (shape as number[]).reduce((a, b) => a * b, 1);
      const base = array(n, 10 * t + 1);
      const models = Array.from({ length: count }, (_, k) => array(n, 10 * t + k + 2));
      return { name: name as string, shape: shape as number[], base, models };
    });
    const changes = tensors.map(({ base, models }) => models.map((model) => model.map((x, i) => x - base[i]!)));
    const joint = changes.map(unified);
    for (const task of [undefined, 1, count]) {
      const values = { ...(task && { task }), lambda: 0.7 };
      const { values: found } = await mergeArrays(gpu, emr, tensors, { values, chunkValues: 400 });
      const parts = joint.map((all, t) => (task ? part(changes[t]![task - 1]!, all) : all));
      const own = task ? changes.reduce((sum, tau) => sum + size(tau[task - 1]!), 0) : 1;
      const scale = 0.7 * (task ? own / parts.reduce((sum, one) => sum + size(one), 0) : 1);
      for (const [t, { name, base }] of tensors.entries())
        expectWithin(
          found.get(name)!,
          base.map((b, i) => b + scale * parts[t]![i]!),
          () => 2e-5,
        );
    }
  }
});

test("one model comes back whole, and one that changes nothing as the base", async () => {
  const [base, model] = [array(40, 1), array(40, 2)];
  const one = await mergeOne(await sharedGpu(), emr, { shape: [5, 8], base, models: [model] }, { values: { task: 1 } });
  expectWithin(one, model, () => 1e-6);
  const given = { shape: [5, 8], base, models: [model, base] };
  expect(await mergeOne(await sharedGpu(), emr, given, { values: { task: 2 } })).toEqual(Float32Array.from(base));
});
