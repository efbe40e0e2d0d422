/**
 * Principal directions of eight updates with a shared direction and noise, against the plain mean.
 *
 * Cosine with the shared direction, mean of 20 draws: one client reversed 0.977 against 0.962; unequal amplitudes 0.992
 * against 0.990; plain noise equal; two camps along a second direction 0.96 against 0.98. As the card predicts, the
 * result is then shorter too.
 */
import { expect, test } from "bun:test";
import { principalWeights } from "../../src/merge/methods/federated/principal-svd.ts";
import { normal, randomArray } from "./support.ts";

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const cosine = (a: Float64Array, b: Float64Array) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
const combined = (rows: readonly Float64Array[], weights: readonly number[]) =>
  rows[0]!.map((_, i) => rows.reduce((sum, row, k) => sum + weights[k]! * row[i]!, 0));

/** Mean cosines of the principal aggregate and of the mean. */
function compare(client: (k: number, shared: Float64Array, second: Float64Array, next: () => number) => Float64Array) {
  let [principal, plain] = [0, 0];
  for (let draw = 0; draw < 20; draw++) {
    const next = normal(1000 + draw);
    const [shared, second] = [randomArray(300, next), randomArray(300, next)];
    const rows = Array.from({ length: 8 }, (_, k) => client(k, shared, second, next).map((x) => x + 0.6 * next()));
    const gram = rows.map((a) => rows.map((b) => dot(a, b)));
    principal += cosine(combined(rows, principalWeights(gram, 0.8)), shared) / 20;
    plain +=
      cosine(
        combined(
          rows,
          rows.map(() => 1 / 8),
        ),
        shared,
      ) / 20;
  }
  return { principal, plain };
}

test("is closer to the shared direction when a client is reversed or amplitudes differ", () => {
  const reversed = compare((k, shared) => shared.map((x) => (k === 0 ? -x : x)));
  expect(reversed.principal).toBeGreaterThan(reversed.plain + 0.005);
  const unequal = compare((_, shared, __, next) => {
    const amplitude = 0.3 + 1.7 * Math.abs(next());
    return shared.map((x) => amplitude * x);
  });
  expect(unequal.principal).toBeGreaterThan(unequal.plain + 0.001);
});

test("is farther from it when clients stand in two camps", () => {
  const camps = compare((k, shared, second) => shared.map((x, i) => x + (k % 2 ? 1.2 : -1.2) * second[i]!));
  expect(camps.principal).toBeLessThan(camps.plain);
});
