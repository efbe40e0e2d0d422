/** The mean of infinitely wide networks, against the kernel's equations solved by elimination. */
import { expect, test } from "bun:test";
import { meanOutputs, tangentKernel } from "../../../src/evaluate/permutation/closed-form.ts";
import { randomWords } from "../../support/random.ts";

/** Solves G x = b by elimination. */
function solve(matrix: number[][], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  const n = rows.length;
  for (let c = 0; c < n; c++)
    for (let r = 0; r < n; r++) {
      if (r === c) continue;
      const factor = rows[r]![c]! / rows[c]![c]!;
      for (let j = c; j <= n; j++) rows[r]![j]! -= factor * rows[c]![j]!;
    }
  return rows.map((row, i) => row[n]! / row[i]!);
}

const rotated = (k: number) => Array.from({ length: k }, (_, i) => (i * 3 + 1) % k);

test("the kernel of one-hot inputs is (2 - 1/pi) I + (1/pi) 1 1^T", () => {
  expect(tangentKernel(1)).toBeCloseTo(2, 12);
  expect(tangentKernel(0)).toBeCloseTo(1 / Math.PI, 12);
});

test("is the kernel regression of the rows", () => {
  const k = 5;
  const gram = Array.from({ length: k }, (_, i) =>
    Array.from({ length: k }, (__, j) => tangentKernel(Number(i === j))),
  );
  for (const bits of [
    [1, 0, 0, 0, 0],
    [1, 1, 0, 1, 0],
    [1, 1, 1, 1, 1],
  ]) {
    const ones = bits.reduce((a, b) => a + b, 0);
    const row = bits.map((bit) => tangentKernel(bit / Math.sqrt(ones)));
    const found = meanOutputs(bits, rotated(k));
    for (const [from, to] of rotated(k).entries()) {
      const alpha = solve(
        gram,
        Array.from({ length: k }, (_, i) => Number(i === from)),
      );
      expect(found[to]).toBeCloseTo(
        row.reduce((sum, value, i) => sum + value * alpha[i]!, 0),
        12,
      );
    }
  }
});

test("tells every input of 4 and 8 bits and 3000 of 16", () => {
  const word = randomWords(1);
  const cases = [
    ...[4, 8].flatMap((k) => Array.from({ length: 2 ** k - 1 }, (_, i) => [k, i + 1] as const)),
    ...Array.from({ length: 3000 }, () => [16, 1 + (word() % (2 ** 16 - 1))] as const),
  ];
  const wrong = cases.filter(([k, number]) => {
    const bits = Array.from({ length: k }, (_, i) => (number >> i) & 1);
    const targets = k === 4 ? [2, 0, 3, 1] : rotated(k);
    const outputs = meanOutputs(bits, targets);
    return bits.some((bit, i) => outputs[targets[i]!]! > 1e-9 !== (bit === 1));
  });
  expect(wrong).toEqual([]);
});
