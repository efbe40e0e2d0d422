/** Attributions by projected gradients: sketches of outputs, and what they foretell, beside exact gradients in f64. */
import { afterAll, describe, expect, test } from "bun:test";
import type { Example } from "../../src/data/examples.ts";
import { Model } from "../../src/model/model.ts";
import { outputSketches } from "../../src/run/scoring/output-sketches.ts";
import { symmetricInverse } from "../../src/tensor/linear-algebra/cholesky.ts";
import { gradientEffects, marginOf, solvedGradients } from "../../src/unlearn/attribution/projected-gradients.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);

test("the margin is the label's logit less the logsumexp of the others", () => {
  const margin = (z: readonly number[], y: number) =>
    z[y]! - Math.log(z.reduce((sum, x, c) => (c === y ? sum : sum + Math.exp(x)), 0));
  const z = [0.3, -1.2, 2];
  for (const y of [0, 1, 2]) {
    const { slope, likely } = marginOf(z, y);
    for (const c of [0, 1, 2]) {
      const moved = (d: number) =>
        margin(
          z.map((x, k) => (k === c ? x + d : x)),
          y,
        );
      expect(slope[c]).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 6);
    }
    expect(likely).toBeCloseTo(Math.exp(z[y]!) / z.reduce((sum, x) => sum + Math.exp(x), 0), 12);
  }
  expect(marginOf([800, -800], 0).likely).toBe(1);
});

test.each([
  [5, 9],
  [9, 5],
])("%d gradients of %d numbers are solved as their definition says", (n, k) => {
  const g = Array.from({ length: n }, (_, i) => Float64Array.from(normals(i, k)));
  const q = normals(50, n);
  const [mu, found] = [0.3, solvedGradients(g, q, 0.3)];
  const gram = Float64Array.from({ length: k * k }, (_, at) => {
    const [i, j] = [Math.floor(at / k), at % k];
    return g.reduce((sum, row) => sum + row[i]! * row[j]!, i === j ? mu : 0);
  });
  const inverse = symmetricInverse(gram, k)!;
  for (const [i, own] of found.entries())
    for (let a = 0; a < k; a++) expect(own[a]).toBeCloseTo(q[i]! * dot(inverse.slice(a * k, (a + 1) * k), g[i]!), 9);
});

describe("of a linear classifier", async () => {
  const [classes, dims, width] = [3, 4, 4096];
  const config = { model_type: "mlp", input_size: dims, hidden_sizes: [], num_labels: classes };
  const model = await Model.fresh(await sharedGpu(), config, "linear", { seed: 3 });
  afterAll(() => model.free());
  const examples = Array.from({ length: 7 }, (_, i): Example => {
    const x = normals(10 + i, dims);
    return { x, shape: [dims], label: i % classes, group: 0, place: `row ${i}` };
  });
  const signal = new AbortController().signal;
  const xOf = (example: Example) => ("x" in example ? example.x : new Float32Array());
  const sketchesOf = async (sums: { readonly example: Example; readonly weights: Float32Array }[], seed = 1) => {
    const found: Float64Array[] = [];
    for await (const [, sketch] of outputSketches(model, sums, { width, seed, signal })) found.push(sketch);
    return found;
  };

  test("inner products of sketches are those of the outputs' gradients", async () => {
    const sums = examples.slice(0, 3).map((example, i) => ({ example, weights: normals(30 + i, classes) }));
    const found = await sketchesOf(sums);
    for (const [i, a] of sums.entries())
      for (const [j, b] of sums.entries()) {
        // Of z = W x + b: the outer product of the weights and (x, 1).
        const wanted = dot(a.weights, b.weights) * (dot(xOf(a.example), xOf(b.example)) + 1);
        expect(dot(found[i]!, found[j]!)).toBeCloseTo(wanted, 4);
      }
  });

  test("effects are those of exact gradients", async () => {
    const points = examples;
    const rows = examples.slice(0, 5);
    const weight = await model.gpu.readFloats(model.parameters.get("classifier.weight")!.buffer, classes * dims);
    const bias = await model.gpu.readFloats(model.parameters.get("classifier.bias")!.buffer, classes);
    const logits = Float32Array.from({ length: points.length * classes }, (_, at) => {
      const [p, c] = [Math.floor(at / classes), at % classes];
      return bias[c]! + dot(weight.slice(c * dims, (c + 1) * dims), xOf(points[p]!));
    });
    const settings = { width, mu: 0.5, seed: 1, signal };
    const found = await gradientEffects(model, { rows, points, logits }, settings);
    const outer = (slope: ArrayLike<number>, x: Float32Array) =>
      Float64Array.from({ length: classes * (dims + 1) }, (_, at) => {
        const [c, d] = [Math.floor(at / (dims + 1)), at % (dims + 1)];
        return slope[c]! * (d < dims ? x[d]! : 1);
      });
    const margins = rows.map(({ label }, i) => marginOf(logits.slice(i * classes, (i + 1) * classes), label));
    const solved = solvedGradients(
      margins.map(({ slope }, i) => outer(slope, xOf(rows[i]!))),
      margins.map(({ likely }) => 1 - likely),
      0.5,
    );
    for (const [i, own] of solved.entries())
      for (const [p, point] of points.entries())
        for (let c = 0; c < classes; c++) {
          const unit = Array.from({ length: classes }, (_, k) => (k === c ? 1 : 0));
          const wanted = dot(own, outer(unit, xOf(point)));
          expect(found[(i * points.length + p) * classes + c]).toBeCloseTo(wanted, 4);
        }
    // A row makes its own label likelier.
    for (const [i, { slope }] of margins.entries()) {
      const own = found.slice((i * points.length + i) * classes, (i * points.length + i + 1) * classes);
      expect(dot(slope, own)).toBeGreaterThan(0);
    }
  });
});
