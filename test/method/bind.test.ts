/** Methods bound to their values, and the laws that they claim. */
import { expect, test } from "bun:test";
import { bind, bindDefaults } from "../../src/method/bind.ts";
import { claimed, sameClaim } from "../../src/method/laws.ts";
import { loadMethod } from "../../src/method/registry.ts";

test("a bound method takes its values as its own", async () => {
  const { method, values } = bind(await loadMethod("schedule", "linear"), { warmup: 0, min_ratio: 0.5 });
  expect(method.rate(5, { lr: 1, steps: 5, values })).toBe(0.6);
});

test("defaults stand in for what was not given", async () => {
  const method = await loadMethod("optimizer", "sgd");
  expect<unknown>(bindDefaults(method).values).toEqual({ momentum: 0.9, nesterov: false, weight_decay: 0 });
  expect<unknown>(bindDefaults(method, { momentum: 0, other: 1 }).values).toEqual({
    momentum: 0,
    nesterov: false,
    weight_decay: 0,
  });
});

test("laws are those that are claimed, not those with a reason against them", () => {
  const laws = { order: true, equalModels: "a sum of models", finite: true } as const;
  expect(claimed(laws)).toEqual(["order", "finite"]);
  expect(claimed({ ...sameClaim(laws, "it has no models"), finite: true })).toEqual(["finite"]);
});
