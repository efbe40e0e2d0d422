/** What merge methods have in common: one method, at certain values, is another one or one of its inputs. */
import { beforeAll, describe, expect, test } from "bun:test";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../src/merge/contract.ts";
import { method as linear } from "../../src/merge/methods/averages/linear.ts";
import { method as modelStock } from "../../src/merge/methods/averages/model-stock.ts";
import { method as passthrough } from "../../src/merge/methods/layers/passthrough.ts";
import { method as nearswap } from "../../src/merge/methods/pairs/nearswap.ts";
import { method as karcher } from "../../src/merge/methods/spherical/karcher.ts";
import { method as multislerp } from "../../src/merge/methods/spherical/multislerp.ts";
import { method as nuslerp } from "../../src/merge/methods/spherical/nuslerp.ts";
import { method as slerp } from "../../src/merge/methods/spherical/slerp.ts";
import { method as taskArithmetic } from "../../src/merge/methods/task-vectors/task-arithmetic.ts";
import { method as ties } from "../../src/merge/methods/task-vectors/ties.ts";
import { expectWithin } from "../support/floats.ts";
import { sharedGpu } from "../support/gpu.ts";
import { type Given, type Model, merged, modelOf } from "./harness.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const [base, a, b, c] = [0, 1, 2, 3].map((seed) => modelOf(seed)) as [Model, Model, Model, Model];
const run = (method: MergeMethod, given: Given): Promise<Model> => merged(gpu, method, given);

const map = (model: Model, change: (x: number, i: number, name: string) => number): Model =>
  new Map([...model].map(([name, values]) => [name, values.map((x, i) => change(x, i, name))]));
const norm = (values: Float32Array): number => Math.hypot(...values);
/** The model with each tensor scaled to the length it has in `like`. */
const asLongAs = (model: Model, like: Model): Model =>
  map(model, (x, _, name) => (x * norm(like.get(name)!)) / norm(model.get(name)!));

/** Equal to 1e-5 of each tensor's largest value, or exactly. */
function same(found: Model, wanted: Model, relative = 1e-5): void {
  expect([...found.keys()]).toEqual([...wanted.keys()]);
  for (const [name, values] of wanted) {
    const scale = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    expectWithin(found.get(name)!, values, () => relative * scale, name);
  }
}

describe("ends and shares", () => {
  test("linear with weights 1 and 0 is the first model, to the bit", async () => {
    same(await run(linear, { models: [a, b], values: { weight: [1, 0] } }), a, 0);
  });

  test("slerp at 0 and 1 is base and model", async () => {
    same(await run(slerp, { base, models: [a], values: { t: 0 } }), base);
    same(await run(slerp, { base, models: [a], values: { t: 1 } }), a);
  });

  test("nearswap at 0 is the base, from the largest difference on the model", async () => {
    same(await run(nearswap, { base, models: [a], values: { t: 0 } }), base, 0);
    same(await run(nearswap, { base, models: [a], values: { t: 100 } }), a, 1e-7);
  });

  test("passthrough copies, and scales by 1 to the same", async () => {
    same(await run(passthrough, { models: [a] }), a, 0);
    same(await run(passthrough, { models: [a], values: { scale: [1] } }), a, 0);
  });
});

describe("directions", () => {
  test("slerp of a model and its multiple is linear", async () => {
    const twice = map(a, (x) => 2 * x);
    const wanted = await run(linear, { models: [a, twice], values: { weight: [0.7, 0.3] } });
    same(await run(slerp, { base: a, models: [twice], values: { t: 0.3 } }), wanted);
  });

  test("nuslerp without a base is slerp", async () => {
    // Scalars are parallel: slerp and nuslerp are then both linear.
    const wanted = await run(slerp, { base: a, models: [b], values: { t: 0.3 } });
    const found = await run(nuslerp, { models: [a, b], values: { weight: [0.7, 0.3] } });
    for (const [name, values] of wanted)
      if (values.length > 1) same(new Map([[name, found.get(name)!]]), new Map([[name, values]]));
  });

  test("nuslerp with a base is the base plus slerp of the differences", async () => {
    const delta = (model: Model) => map(model, (x, i, name) => x - base.get(name)![i]!);
    const between = await run(nuslerp, { models: [delta(a), delta(b)], values: { weight: [0.7, 0.3] } });
    const wanted = map(between, (x, i, name) => x + base.get(name)![i]!);
    same(await run(nuslerp, { base, models: [a, b], values: { weight: [0.7, 0.3] } }), wanted);
  });

  test("karcher and multislerp of two models of equal length are slerp halfway", async () => {
    const equal = asLongAs(b, a);
    const wanted = await run(slerp, { base: a, models: [equal], values: { t: 0.5 } });
    const [mean, many] = [
      await run(karcher, { models: [a, equal] }),
      await run(multislerp, { models: [a, equal], values: { weight: [1, 1] } }),
    ];
    for (const [name, values] of wanted) {
      if (values.length === 1) continue;
      for (const found of [mean, many]) same(new Map([[name, found.get(name)!]]), new Map([[name, values]]));
    }
  });
});

describe("task vectors", () => {
  test("task arithmetic is linear with the rest on the base", async () => {
    const wanted = await run(linear, { models: [base, a, b], values: { weight: [0.3, 0.5, 0.2], normalize: false } });
    same(await run(taskArithmetic, { base, models: [a, b], values: { weight: [0.5, 0.2] } }), wanted);
  });

  test("ties with one model and all of it kept is that model, whatever its weight", async () => {
    for (const weight of [0.1, 1, 7]) same(await run(ties, { base, models: [a], values: { weight: [weight] } }), a);
  });

  test("model stock of orthogonal task vectors is the base, of equal ones the model", async () => {
    const place = (turn: number) => (x: number, i: number) => x + (i % 3 === turn ? 1 : 0);
    const shapes = { "w.weight": [5, 51] };
    const start: Model = new Map([["w.weight", base.get("model.layers.0.mlp.up_proj.weight")!]]);
    const apart = [0, 1, 2].map((turn) => map(start, place(turn)));
    same(await run(modelStock, { base: start, models: apart, shapes }), start, 1e-6);
    same(await run(modelStock, { base, models: [c, c, c] }), c);
  });
});
