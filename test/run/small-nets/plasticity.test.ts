/**
 * Plasticity of small networks: trained on one set of random labels after another they lose active units, and fit the
 * later sets worse; what is meant to keep it does so, or not, as measured. Sokar et al. 2023, Ma et al. 2024.
 */
import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { categorical } from "../../../src/run/small-nets/categorical.ts";
import { activeShare } from "../../../src/run/small-nets/mlp.ts";
import { type Care, Trained } from "../../../src/run/small-nets/trained.ts";

/** With INGOT_TEST_LONG=1 all seeds and all ways. */
const LONG = process.env.INGOT_TEST_LONG === "1";

const [INPUTS, ROWS, CLASSES, HIDDEN, TASKS, STEPS] = [8, 48, 4, 16, 15, 150];

interface Task {
  readonly accuracy: number;
  readonly active: number;
}

/** Accuracy and share of active units at the end of each task; `noise` is on the inputs that are learned from. */
function life(seed: number, care: Care = {}, noise = 0): Task[] {
  const head = categorical(CLASSES);
  const sizes = [INPUTS, HIDDEN, HIDDEN, CLASSES];
  const trained = new Trained({ sizes, lr: 0.01, care }, seed, "net");
  const random = new Random(seed, "x");
  const x = Float64Array.from({ length: ROWS * INPUTS }, () => random.normal());
  const chance = new Random(seed, "noise");
  return Array.from({ length: TASKS }, (_, task) => {
    const drawn = new Random(seed, "labels", task);
    const labels = Array.from({ length: ROWS }, () => drawn.below(CLASSES));
    const rowOf = (out: Float64Array, row: number) => out.subarray(row * CLASSES, (row + 1) * CLASSES);
    const seen = (values: Float64Array) => {
      const pass = trained.net.forward(values, ROWS);
      return { pass, out: pass.values.at(-1)! };
    };
    const { pass: before } = seen(x);
    let active = activeShare(before);
    let accuracy = 0;
    for (let step = 0; step < STEPS; step++) {
      if (step === STEPS - 1) {
        const { pass, out } = seen(x);
        active = activeShare(pass);
        accuracy = labels.reduce((sum, label, row) => sum + Number(head.mode(rowOf(out, row)) === label), 0) / ROWS;
      }
      const { pass, out } = seen(noise > 0 ? x.map((value) => value + noise * chance.normal()) : x);
      const slopes = new Float64Array(ROWS * CLASSES);
      for (const [row, label] of labels.entries())
        head.addLogGradient(rowOf(out, row), label, -1 / ROWS, rowOf(slopes, row));
      trained.descend(pass, slopes);
    }
    return { accuracy, active };
  });
}

const mean = (tasks: readonly Task[], key: keyof Task) =>
  tasks.reduce((sum, task) => sum + task[key], 0) / tasks.length;
const ends = (tasks: readonly Task[]) => ({
  first: { accuracy: mean(tasks.slice(0, 3), "accuracy"), active: mean(tasks.slice(0, 3), "active") },
  last: { accuracy: mean(tasks.slice(-3), "accuracy"), active: mean(tasks.slice(-3), "active") },
});

test("active units and accuracy fall together, and decay towards the first weights keeps both", () => {
  const plain = ends(life(0));
  const held = ends(life(0, { decay_to_init: 0.01 }));
  expect(plain.first.accuracy).toBeGreaterThan(0.97);
  expect(plain.last.accuracy).toBeLessThan(0.8);
  expect(plain.last.active).toBeLessThan(plain.first.active - 0.15);
  expect(held.last.accuracy).toBeGreaterThan(0.97);
  expect(held.last.active).toBeGreaterThan(held.first.active - 0.1);
});

test.if(LONG)("decay and resets of the last two layers keep it on all seeds; layer norm and noise do not", () => {
  const ways: Record<string, [Care, number?]> = {
    plain: [{}],
    decay: [{ decay_to_init: 0.01 }],
    reset: [{ reset_every: STEPS, reset_layers: 2 }],
    norm: [{ layer_norm: true }],
    noise: [{}, 0.3],
  };
  const told = Object.fromEntries(
    Object.entries(ways).map(([name, [care, noise]]) => [name, [0, 1, 2].map((seed) => ends(life(seed, care, noise)))]),
  );
  for (const seed of [0, 1, 2]) {
    for (const kept of ["decay", "reset"]) expect(told[kept]![seed]!.last.accuracy).toBeGreaterThan(0.95);
    for (const lost of ["plain", "norm", "noise"]) {
      expect(told[lost]![seed]!.last.accuracy).toBeLessThan(0.96);
      expect(told[lost]![seed]!.last.active).toBeLessThan(told[lost]![seed]!.first.active - 0.08);
    }
  }
});
