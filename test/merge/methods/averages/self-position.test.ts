import { expect, test } from "bun:test";
import { method } from "../../../../src/merge/methods/averages/self-position.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { apart, family, runMethod } from "../../run-method.ts";

const values = { scale: 1.5, learn_scale: true, pull: 0.1, loss: "ce" } as const;

test("begins at the scale times the shares of the models", () => {
  const start = Float64Array.of(1, 3);
  const free = method.tune!.free({ models: 2, start }, { ...values, weight: [1, 3] });
  const [first, second] = free.coefficients(free.start);
  expect(first!).toBeCloseTo(1.5 / 4, 12);
  expect(second!).toBeCloseTo(4.5 / 4, 12);
});

test("with shares of one it is the average of the models", async () => {
  const { base, models } = family(1001, 4, 3);
  const perModel = { weight: [0.25, 0.25, 0.25, 0.25] };
  const found = await runMethod(await sharedGpu(), method, { shape: [1001], base, models, perModel });
  const mean = base.map((_, i) => models.reduce((sum, model) => sum + model[i]! / 4, 0));
  expect(apart(found, mean)).toBeLessThan(1e-6);
});
