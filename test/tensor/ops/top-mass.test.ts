import { expect, test } from "bun:test";
import { peaks, topCount, topMass } from "../../../src/tensor/ops/top-mass.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("firing/top-mass", "firing/peaks", "firing/top-count");

const gpu = await sharedGpu();

test("the largest magnitude of each column, by groups of rows", async () => {
  const [groups, rows, c] = [3, 5, 31];
  const x = normals(1, groups * rows * c);
  const { outputs } = await runOp(gpu, {
    inputs: { x: { shape: [groups * rows, c], data: x } },
    build: (rec, given) => ({ y: peaks(rec, given.x!, rows) }),
  });
  for (let g = 0; g < groups; g++)
    for (let k = 0; k < c; k++) {
      const column = Array.from({ length: rows }, (_, r) => Math.abs(x[(g * rows + r) * c + k]!));
      expect(outputs.y![g * c + k]).toBe(Math.max(...column));
    }
});

/** As it is defined, by sorting in f64. */
function wanted(row: readonly number[], mass: number): number[] {
  const total = row.reduce((a, b) => a + b, 0);
  const order = row.map((_, i) => i).sort((a, b) => row[b]! - row[a]! || a - b);
  const kept = row.map(() => 0);
  let sum = 0;
  for (const [place, i] of order.entries()) {
    sum += row[i]!;
    const is = mass === 1 ? row[i]! > 1e-5 * total : sum <= mass * total;
    kept[i] = Number(is || place === 0);
  }
  return kept;
}

test.each([0.05, 0.5, 0.92, 1])("units while they hold %p of the mass", async (mass) => {
  const [n, c] = [7, 53];
  const x = normals(2, n * c).map((value, i) => (i % 5 === 0 ? 0 : Math.abs(value)));
  const { outputs } = await runOp(gpu, {
    inputs: { x: { shape: [n, c], data: x } },
    build: (rec, given) => ({ y: topMass(rec, given.x!, mass) }),
  });
  for (let r = 0; r < n; r++)
    expect([...outputs.y!.slice(r * c, (r + 1) * c)]).toEqual(wanted([...x.slice(r * c, (r + 1) * c)], mass));
});

test.each([1, 4, 53, 60])("the %p largest values, of equal ones the first", async (k) => {
  const [n, c] = [7, 53];
  const x = normals(3, n * c).map((value, i) => (i % 5 === 0 ? 0.25 : value));
  const { outputs } = await runOp(gpu, {
    inputs: { x: { shape: [n, c], data: x } },
    build: (rec, given) => ({ y: topCount(rec, given.x!, k) }),
  });
  for (let r = 0; r < n; r++) {
    const row = [...x.slice(r * c, (r + 1) * c)];
    const order = row.map((_, i) => i).sort((a, b) => row[b]! - row[a]! || a - b);
    const kept = new Set(order.slice(0, k));
    expect([...outputs.y!.slice(r * c, (r + 1) * c)]).toEqual(row.map((_, i) => (kept.has(i) ? 1 : 0)));
  }
});
