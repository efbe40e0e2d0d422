/** The laws that optimizers and learning-rate schedules claim, each under its defaults. */
import { describe, expect, test } from "bun:test";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { OPTIMIZER_LAWS, type Optimizer, type OptimizerLaw } from "../../src/run/training/optimizer.ts";
import { SCHEDULE_LAWS, type Schedule, type ScheduleLaw } from "../../src/run/training/schedule.ts";
import { Updater } from "../../src/run/training/updater.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const SIZE = 300;
const START = normals(1, SIZE);

interface Run {
  readonly lr?: number;
  readonly decay?: number;
  readonly steps?: number;
  /** Gradients at step t (from 1) of weights w. */
  readonly gradient: (t: number, w: Float32Array) => Float32Array;
}

/** Weights after some steps from START. */
async function stepped(
  optimizer: Optimizer,
  { lr = 0.01, decay = 0, steps = 3, gradient }: Run,
): Promise<Float32Array> {
  const parameter = new Parameter(gpu, "w", [SIZE]);
  parameter.write(START);
  const bound = bindDefaults(optimizer, { weight_decay: decay });
  const updater = await Updater.make(gpu, [parameter], { optimizer: bound, decays: () => true, clip: 0 });
  for (let t = 1; t <= steps; t++) {
    const w = await gpu.readFloats(parameter.buffer, SIZE);
    gpu.write(parameter.gradient, 0, new Uint8Array(gradient(t, w).buffer));
    await updater.step(t, lr, 0);
  }
  const found = await gpu.readFloats(parameter.buffer, SIZE);
  updater.free();
  parameter.free();
  return found;
}

const random = (t: number) => normals(10 + t, SIZE);
const zeros = () => new Float32Array(SIZE);

const OPTIMIZER_TESTS: Record<OptimizerLaw, (optimizer: Optimizer) => Promise<void>> = {
  async zeroRate(optimizer) {
    expect(await stepped(optimizer, { lr: 0, decay: 0.5, gradient: random })).toEqual(START);
  },
  async zeroGradient(optimizer) {
    expect(await stepped(optimizer, { gradient: zeros })).toEqual(START);
  },
  async decays(optimizer) {
    const found = await stepped(optimizer, { decay: 0.5, gradient: zeros });
    for (const [i, w] of found.entries()) {
      expect(Math.abs(w)).toBeLessThan(Math.abs(START[i]!));
      expect(Math.sign(w)).toBe(Math.sign(START[i]!));
    }
  },
  async descends(optimizer) {
    const loss = (w: Float32Array) => w.reduce((sum, x) => sum + x * x, 0);
    const found = await stepped(optimizer, { lr: 0.02, steps: 30, gradient: (_, w) => w });
    expect(loss(found)).toBeLessThan(0.9 * loss(START));
  },
  async elementwise(optimizer) {
    const all = await stepped(optimizer, { gradient: random });
    const half = await stepped(optimizer, { gradient: (t) => random(t).map((g, i) => (i % 2 ? g : 5 * g)) });
    for (let i = 1; i < SIZE; i += 2) expect(half[i]).toBe(all[i]!);
  },
  async scaleFree(optimizer) {
    const one = await stepped(optimizer, { gradient: random });
    const ten = await stepped(optimizer, { gradient: (t) => random(t).map((g) => 10 * g) });
    for (const [i, w] of ten.entries()) expect(Math.abs(w - one[i]!)).toBeLessThan(1e-5);
  },
};

describe.each((await loadMethods("optimizer")).map((optimizer) => [optimizer.name, optimizer] as const))(
  "%s",
  (_, optimizer) => {
    test.each(claimed(optimizer.laws).map((law) => [OPTIMIZER_LAWS[law], law] as const))("%s", async (_, law) =>
      OPTIMIZER_TESTS[law](optimizer),
    );
  },
);

const STEPS = 2000;

/** Rates of every step. */
function ratesOf(schedule: Schedule, lr = 2, steps = STEPS, until = steps): number[] {
  const { values } = bindDefaults(schedule);
  return Array.from({ length: until }, (_, t) => schedule.rate(t + 1, { lr, steps, values }));
}

const SCHEDULE_TESTS: Record<ScheduleLaw, (schedule: Schedule) => void> = {
  bounded(schedule) {
    for (const rate of ratesOf(schedule)) {
      expect(rate).toBeGreaterThanOrEqual(0);
      expect(rate).toBeLessThanOrEqual(2 * (1 + 1e-12));
    }
  },
  reachesPeak(schedule) {
    expect(Math.max(...ratesOf(schedule))).toBeCloseTo(2, 9);
  },
  proportional(schedule) {
    const [once, twice] = [ratesOf(schedule, 1), ratesOf(schedule, 2)];
    for (const [t, rate] of twice.entries()) expect(rate).toBeCloseTo(2 * once[t]!, 12);
  },
  holds(schedule) {
    const rates = ratesOf(schedule, 2, STEPS, STEPS + 50);
    for (const rate of rates.slice(STEPS)) expect(rate).toBe(rates[STEPS - 1]!);
  },
  lengthFree(schedule) {
    expect(ratesOf(schedule, 2, 2 * STEPS).slice(0, STEPS)).toEqual(ratesOf(schedule));
  },
};

describe.each((await loadMethods("schedule")).map((schedule) => [schedule.name, schedule] as const))(
  "%s",
  (_, schedule) => {
    test.each(claimed(schedule.laws).map((law) => [SCHEDULE_LAWS[law], law] as const))("%s", (_, law) =>
      SCHEDULE_TESTS[law](schedule),
    );
  },
);
