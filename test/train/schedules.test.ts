import { expect, test } from "bun:test";
import { method as constant } from "../../src/train/methods/schedules/constant.ts";
import { method as cosine } from "../../src/train/methods/schedules/cosine.ts";
import { method as infinite } from "../../src/train/methods/schedules/infinite.ts";
import { method as linear } from "../../src/train/methods/schedules/linear.ts";
import { method as rewarm } from "../../src/train/methods/schedules/rewarm.ts";
import { method as wsd } from "../../src/train/methods/schedules/wsd.ts";

const lr = 2;
const near = (x: number) => expect.closeTo(x, 12);

test("constant holds after its warm-up", () => {
  const at = (t: number) => constant.rate(t, { lr, steps: 100, values: { warmup: 0.1 } });
  expect([1, 5, 10, 11, 100].map(at)).toEqual([near(0.2), near(1), 2, 2, 2]);
});

test("linear falls straight to its end", () => {
  const at = (t: number) => linear.rate(t, { lr, steps: 101, values: { warmup: 1, min_ratio: 0.5 } });
  expect([1, 51, 101].map(at)).toEqual([2, near(1.5), near(1)]);
});

test("cosine is half way down in the middle, and ends at its least", () => {
  const at = (t: number) => cosine.rate(t, { lr, steps: 101, values: { warmup: 0, min_ratio: 0.1 } });
  expect([1, 51, 101, 200].map(at)).toEqual([near(2), near(1.1), near(0.2), near(0.2)]);
});

test("wsd is stable until its decay", () => {
  const of = (decay_shape: "linear" | "exponential" | "sqrt") => (t: number) =>
    wsd.rate(t, { lr, steps: 100, values: { warmup: 10, decay: 20, decay_shape, min_ratio: 0.1 } });
  expect([5, 10, 80, 90, 100].map(of("linear"))).toEqual([near(1), 2, 2, near(1.1), near(0.2)]);
  expect(of("exponential")(90)).toBeCloseTo(2 * Math.sqrt(0.1), 12);
  expect(of("sqrt")(85)).toBeCloseTo(2 * (1 - 0.9 * 0.5), 12);
});

test("infinite is continuous at its seams and does not depend on the run's length before the anneal", () => {
  const values = { warmup: 10, cooldown: 50, const_ratio: 0.5, anneal: 0, min_ratio: 0.1 };
  const at = (t: number, steps = 1000, anneal = 0) => infinite.rate(t, { lr, steps, values: { ...values, anneal } });
  expect([1, 10, 35, 60, 61, 999].map((t) => at(t))).toEqual([near(0.2), 2, near(1.5), near(1), 1, 1]);
  for (let t = 1; t <= 500; t++) expect(at(t, 600, 100)).toBe(at(t, 100_000));
  expect([500, 550, 600].map((t) => at(t, 600, 100))).toEqual([near(1), near(Math.sqrt(0.2)), near(0.2)]);
  expect(() => at(1, 100, 80)).toThrow("--anneal 80 begins at step 20, before the constant phase at step 60");
});

test("re-warming rises from the low rate and comes back to it", () => {
  const at = (warmup: number) => (t: number) =>
    rewarm.rate(t, { lr, steps: 101, values: { warmup, start_ratio: 0.1, min_ratio: 0.1 } });
  expect([5, 10, 101].map(at(10))).toEqual([near(2 * 0.55), near(2), near(0.2)]);
  expect(at(0)(1)).toBeCloseTo(2, 12);
});

test("a phase without length takes nothing away", () => {
  const decay = { decay_shape: "linear" as const, min_ratio: 0.1 };
  expect([1, 50, 100].map((t) => wsd.rate(t, { lr, steps: 100, values: { warmup: 0, decay: 0, ...decay } }))).toEqual([
    lr,
    lr,
    lr,
  ]);
  for (const schedule of [cosine, linear])
    expect(schedule.rate(1, { lr, steps: 1, values: { warmup: 0, min_ratio: 0 } })).toBe(lr);
});
