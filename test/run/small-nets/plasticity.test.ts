/**
 * Plasticity of small networks: trained on one set of random labels after another they lose active units, and fit the
 * later sets worse; pulled towards their first weights they do not. Sokar et al. 2023, Ma et al. 2024.
 */
import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { categorical } from "../../../src/run/small-nets/categorical.ts";
import { activeShare, Mlp } from "../../../src/run/small-nets/mlp.ts";
import { adam } from "../../../src/tensor/descent.ts";

const [INPUTS, ROWS, CLASSES, HIDDEN, TASKS, STEPS] = [8, 48, 4, 16, 15, 150];

/** Accuracy and share of active units at the end of each task. */
function life(seed: number, pull: number): { accuracy: number; active: number }[] {
  const head = categorical(CLASSES);
  const net = Mlp.fresh([INPUTS, HIDDEN, HIDDEN, CLASSES], new Random(seed, "net"));
  const first = net.weights.slice();
  const descent = adam(0.01);
  const random = new Random(seed, "x");
  const x = Float64Array.from({ length: ROWS * INPUTS }, () => random.normal());
  return Array.from({ length: TASKS }, (_, task) => {
    const drawn = new Random(seed, "labels", task);
    const labels = Array.from({ length: ROWS }, () => drawn.below(CLASSES));
    let [accuracy, active] = [0, 0];
    for (let step = 0; step < STEPS; step++) {
      const pass = net.forward(x, ROWS);
      const slopes = new Float64Array(ROWS * CLASSES);
      accuracy = 0;
      active = activeShare(pass);
      for (const [row, label] of labels.entries()) {
        const out = pass.values.at(-1)!.subarray(row * CLASSES, (row + 1) * CLASSES);
        head.addLogGradient(out, label, -1 / ROWS, slopes.subarray(row * CLASSES, (row + 1) * CLASSES));
        accuracy += Number(head.mode(out) === label) / ROWS;
      }
      const into = new Float64Array(net.weights.length);
      net.backward(pass, slopes, into);
      descent.step(net.weights, into);
      for (const [i, weight] of first.entries()) net.weights[i]! += pull * (weight - net.weights[i]!);
    }
    return { accuracy, active };
  });
}

test("active units and accuracy fall together, and decay towards the first weights keeps both", () => {
  const plain = life(0, 0);
  const held = life(0, 0.01);
  const mean = (tasks: typeof plain, key: "accuracy" | "active") =>
    tasks.reduce((sum, task) => sum + task[key], 0) / tasks.length;
  expect(mean(plain.slice(0, 3), "accuracy")).toBeGreaterThan(0.97);
  expect(mean(plain.slice(-3), "accuracy")).toBeLessThan(0.8);
  expect(mean(plain.slice(-3), "active")).toBeLessThan(mean(plain.slice(0, 3), "active") - 0.15);
  expect(mean(held.slice(-3), "accuracy")).toBeGreaterThan(0.97);
  expect(mean(held.slice(-3), "active")).toBeGreaterThan(mean(held.slice(0, 3), "active") - 0.1);
});
