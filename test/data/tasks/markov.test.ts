/** The Markov language: its stationary distribution and entropy rate, and that text keeps to them. */
import { expect, test } from "bun:test";
import { markovLanguage } from "../../../src/data/tasks/markov.ts";
import { openTask, rowsOf } from "./open-task.ts";

/** pi from the linear equations pi P = pi, sum pi = 1, by elimination with pivoting. */
function solved(probabilities: Float64Array, alphabet: number): number[] {
  const n = probabilities.length / alphabet;
  const rows = Array.from({ length: n }, () => new Array<number>(n + 1).fill(0));
  for (let c = 0; c < n; c++) {
    rows[c]![c]! -= 1;
    for (let s = 0; s < alphabet; s++) rows[(c * alphabet + s) % n]![c]! += probabilities[c * alphabet + s]!;
  }
  rows[n - 1] = new Array<number>(n + 1).fill(1);
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let r = k; r < n; r++) if (Math.abs(rows[r]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = r;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let r = 0; r < n; r++) {
      if (r === k) continue;
      const factor = rows[r]![k]! / rows[k]![k]!;
      for (let j = k; j <= n; j++) rows[r]![j]! -= factor * rows[k]![j]!;
    }
  }
  return rows.map((row, k) => row[n]! / row[k]!);
}

test.each([
  [2, 0, 1, 0.01],
  [2, 1, 0.1, 0.001],
  [5, 2, 0.3, 0.01],
  [3, 4, 0.05, 0.001],
  [16, 2, 0.3, 0.01],
])(
  "alphabet %d, order %d, concentration %d, smoothing %d: pi and entropy rate solve the equations",
  (alphabet, order, concentration, smoothing) => {
    const { probabilities, stationary, entropyRate } = markovLanguage(4, alphabet, order, concentration, smoothing);
    const contexts = alphabet ** order;
    const pi = solved(probabilities, alphabet);
    let rate = 0;
    for (let c = 0; c < contexts; c++) {
      const row = probabilities.subarray(c * alphabet, (c + 1) * alphabet);
      expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
      for (const p of row) {
        expect(p).toBeGreaterThanOrEqual((smoothing / alphabet) * (1 - 1e-12));
        rate -= pi[c]! * p * Math.log(p);
      }
      expect(Math.abs(stationary[c]! - pi[c]!)).toBeLessThan(1e-10);
    }
    expect(Math.abs(entropyRate - rate)).toBeLessThan(1e-9);
    expect(entropyRate).toBeLessThanOrEqual(Math.log(alphabet) + 1e-12);
  },
);

test("smoothing 1 leaves the uniform language, of entropy ln V", () => {
  expect(markovLanguage(0, 8, 2, 0.1, 1).entropyRate).toBeCloseTo(Math.log(8), 12);
});

test("text costs the true model the entropy rate per symbol, within five standard errors", async () => {
  const [alphabet, order, length, rows] = [6, 2, 200, 500];
  const { probabilities } = markovLanguage(9, alphabet, order, 0.3, 0.01);
  const source = await openTask("markov", { seed: 9, alphabet, order, length });
  const costs = rowsOf(source, rows).map(({ text }) => {
    const ids = [...String(text)].map((letter) => letter.charCodeAt(0) - 97);
    expect(ids.length).toBe(length);
    let cost = 0;
    for (let t = order; t < length; t++)
      cost -= Math.log(probabilities[(ids[t - 2]! * alphabet + ids[t - 1]!) * alphabet + ids[t]!]!);
    return cost / (length - order);
  });
  const mean = costs.reduce((sum, cost) => sum + cost, 0) / rows;
  const deviation = Math.sqrt(costs.reduce((sum, cost) => sum + (cost - mean) ** 2, 0) / (rows - 1));
  const rate = source.facts.entropy_rate as number;
  expect(Math.abs(mean - rate)).toBeLessThan((5 * deviation) / Math.sqrt(rows));
  expect((5 * deviation) / Math.sqrt(rows)).toBeLessThan(0.05); // the bound means something
});

test("rows begin in the stationary distribution", async () => {
  const { stationary } = markovLanguage(2, 3, 2, 0.5, 0.01);
  const source = await openTask("markov", {
    seed: 2,
    alphabet: 3,
    order: 2,
    length: 3,
    concentration: 0.5,
    form: "ids",
  });
  const counts = new Array<number>(9).fill(0);
  const N = 9000;
  for (const { input_ids } of rowsOf(source, N)) {
    const [a, b] = input_ids as number[];
    counts[a! * 3 + b!]!++;
  }
  for (let c = 0; c < 9; c++) {
    const p = stationary[c]!;
    expect(Math.abs(counts[c]! / N - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / N) + 1e-9);
  }
});

test("tables that do not fit are refused", () => {
  expect(() => markovLanguage(0, 64, 4, 1, 0.1)).toThrow(
    "--order 4 over 64 symbols needs 1073741824 probabilities, at most 262144 are possible",
  );
});
