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
  expect([1, 2, 6, 11, 12, 100].map(at)).toEqual([0, near(0.2), near(1), 2, 2, 2]);
});

test("linear falls straight to its end", () => {
  const at = (t: number) => linear.rate(t, { lr, steps: 100, values: { warmup: 0, min_ratio: 0.5 } });
  expect([1, 51, 100].map(at)).toEqual([2, near(1.5), near(1.01)]);
});

test("cosine is half way down in the middle, and ends just above its least", () => {
  const at = (t: number) => cosine.rate(t, { lr, steps: 100, values: { warmup: 0, min_ratio: 0.1 } });
  const last = near(0.2 + 0.9 * (1 + Math.cos(0.99 * Math.PI)));
  expect([1, 51, 100, 200].map(at)).toEqual([near(2), near(1.1), last, last]);
});

test("wsd is stable until its decay", () => {
  const of = (decay_shape: "linear" | "exponential" | "sqrt") => (t: number) =>
    wsd.rate(t, { lr, steps: 100, values: { warmup: 10, decay: 20, decay_shape, min_ratio: 0.1 } });
  expect([6, 11, 81, 91, 100].map(of("linear"))).toEqual([near(1), 2, 2, near(1.1), near(0.29)]);
  expect(of("exponential")(91)).toBeCloseTo(2 * Math.sqrt(0.1), 12);
  expect(of("sqrt")(86)).toBeCloseTo(2 * (1 - 0.9 * 0.5), 12);
});

test("infinite is continuous at its seams and does not depend on the run's length before the anneal", () => {
  const shape = { anneal_shape: "exponential" as const };
  const values = { warmup: 10, cooldown: 50, const_ratio: 0.5, anneal: 0, min_ratio: 0.1, ...shape };
  const at = (t: number, steps = 1000, anneal = 0) => infinite.rate(t, { lr, steps, values: { ...values, anneal } });
  expect([2, 11, 36, 61, 62, 999].map((t) => at(t))).toEqual([near(0.2), 2, near(1.5), near(1), 1, 1]);
  for (let t = 1; t <= 500; t++) expect(at(t, 600, 100)).toBe(at(t, 100_000));
  expect([501, 551, 600].map((t) => at(t, 600, 100))).toEqual([near(1), near(Math.sqrt(0.2)), near(0.2 ** 0.99)]);
  const shaped = (anneal_shape: "linear" | "inverse-sqrt") => (t: number) =>
    infinite.rate(t, { lr, steps: 600, values: { ...values, anneal: 100, anneal_shape } });
  expect([501, 551, 600].map(shaped("linear"))).toEqual([near(1), near(0.6), near(0.208)]);
  // Ends at a fifth: 1 / sqrt(1 + 24 done).
  expect([501, 551].map(shaped("inverse-sqrt"))).toEqual([near(1), near(1 / Math.sqrt(13))]);
  expect(() => at(1, 100, 80)).toThrow("--anneal 80 begins at step 20, before the constant phase at step 60");
});

test("re-warming rises from the low rate and comes back to it", () => {
  const at = (warmup: number) => (t: number) =>
    rewarm.rate(t, { lr, steps: 100, values: { warmup, start_ratio: 0.1, min_ratio: 0.1 } });
  expect([1, 6, 11, 56].map(at(10))).toEqual([near(0.2), near(2 * 0.55), near(2), near(1.1)]);
  expect(at(0)(1)).toBeCloseTo(2, 12);
});

test("linear and cosine have the rates of transformers, whose step t takes the factor of t - 1 steps", () => {
  const rates = (schedule: typeof linear | typeof cosine, warmup: number) =>
    Array.from({ length: 5 }, (_, i) => schedule.rate(i + 1, { lr: 1, steps: 5, values: { warmup, min_ratio: 0 } }));
  expect(rates(linear, 0)).toEqual([1, 0.8, 0.6, 0.4, 0.2].map(near));
  expect(rates(linear, 2)).toEqual([0, 0.5, 1, 2 / 3, 1 / 3].map(near));
  const half = (done: number) => near(0.5 * (1 + Math.cos(Math.PI * done)));
  expect(rates(cosine, 0)).toEqual([0, 0.2, 0.4, 0.6, 0.8].map(half));
  expect(rates(cosine, 1)).toEqual([near(0), ...[0, 0.25, 0.5, 0.75].map(half)]);
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
