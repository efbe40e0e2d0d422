/** Gains in closed form: the minimum of what they minimise, and what becomes of directions that are everywhere. */
import { expect, test } from "bun:test";
import { channelGains, type GainLayer, type InputMoments } from "../../../src/adapt/gain/closed-form.ts";
import { normals } from "../../support/random.ts";

const [N, INTO, OUT] = [200, 5, 7];
const SETTINGS = { alpha: 0.05, beta: 0.1, ridge: 1e-3 };
const layer = (bias: boolean): GainLayer => ({
  out: OUT,
  into: INTO,
  weight: Float64Array.from(normals(1, OUT * INTO)),
  bias: bias ? Float64Array.from(normals(2, OUT)) : undefined,
});

/** Rows of inputs whose `loud` number is `times` as loud. */
function rows(seed: number, loud = 0, times = 1): Float64Array[] {
  const x = normals(seed, N * INTO);
  return Array.from({ length: N }, (_, n) =>
    Float64Array.from({ length: INTO }, (_, k) => (x[n * INTO + k]! + 0.3) * (k === loud ? times : 1)),
  );
}
function moments(x: readonly Float64Array[]): InputMoments {
  const gram = Float64Array.from({ length: INTO * INTO }, (_, at) =>
    x.reduce((sum, row) => sum + (row[Math.floor(at / INTO)]! * row[at % INTO]!) / x.length, 0),
  );
  return {
    gram,
    mean: Float64Array.from({ length: INTO }, (_, k) => x.reduce((sum, row) => sum + row[k]! / x.length, 0)),
  };
}
const responses = ({ weight, bias }: GainLayer, x: Float64Array) =>
  Array.from({ length: OUT }, (_, i) => x.reduce((sum, v, k) => sum + weight[i * INTO + k]! * v, bias?.[i] ?? 0));

/** Solves A X = B by Gauss and Jordan, columns of B alike. */
function solved(a: readonly number[][], b: readonly number[][]): number[][] {
  const m = a.map((row, i) => [...row, ...b[i]!]);
  for (let p = 0; p < m.length; p++) {
    const pivot = m.findIndex(
      (row, i) => i >= p && Math.abs(row[p]!) === Math.max(...m.slice(p).map((r) => Math.abs(r[p]!))),
    );
    [m[p], m[pivot]] = [m[pivot]!, m[p]!];
    m[p] = m[p]!.map((v) => v / m[p]![p]!);
    for (let i = 0; i < m.length; i++) {
      const factor = m[i]![p]!;
      if (i !== p) m[i] = m[i]!.map((v, j) => v - factor * m[p]![j]!);
    }
  }
  return m.map((row) => row.slice(m.length));
}

test.each([false, true])("bias %p: nothing near the gains has a smaller objective, computed row by row", (bias) => {
  const own = layer(bias);
  const [known, now] = [rows(3), rows(4, 2, 3)];
  const gains = channelGains(own, { known: moments(known), now: moments(now) }, SETTINGS)!;
  // The decoder from rows: D^T = (E r r^T + ridge)^-1 E r x^T.
  const r = known.map((x) => responses(own, x));
  const square = Array.from({ length: OUT }, (_, i) =>
    Array.from({ length: OUT }, (_, j) => r.reduce((sum, each) => sum + (each[i]! * each[j]!) / N, 0)),
  );
  const least = (SETTINGS.ridge * square.reduce((sum, row, i) => sum + row[i]!, 0)) / OUT;
  const damped = square.map((row, i) => row.map((v, j) => (i === j ? v + least : v)));
  const cross = Array.from({ length: OUT }, (_, i) =>
    Array.from({ length: INTO }, (_, k) => r.reduce((sum, each, n) => sum + (each[i]! * known[n]![k]!) / N, 0)),
  );
  const d = solved(damped, cross); // (out, in)
  const n = Array.from({ length: OUT }, (_, i) => d[i]!.reduce((sum, v) => sum + v * v, 0));
  const told = now.map((x) => responses(own, x));
  const energy = Array.from({ length: OUT }, (_, i) => told.reduce((sum, each) => sum + each[i]! ** 2 / N, 0));
  const scale = energy.reduce((sum, c, i) => sum + c * n[i]!, 0);
  const [a, b] = [(SETTINGS.alpha * scale) / energy.reduce((x, y) => x + y), (SETTINGS.beta * scale) / OUT];
  const objective = (g: ArrayLike<number>) => {
    let sum = 0;
    for (const [at, x] of now.entries()) {
      const y = told[at]!.map((v, i) => v * g[i]!);
      for (let k = 0; k < INTO; k++) sum += (x[k]! - y.reduce((all, v, i) => all + d[i]![k]! * v, 0)) ** 2 / N;
      sum += (a * y.reduce((all, v) => all + v * v, 0)) / N;
    }
    return sum + b * Array.from(g).reduce((all, v) => all + (v - 1) ** 2, 0);
  };
  const best = objective(gains);
  for (let i = 0; i < OUT; i++)
    for (const by of [-1e-3, 1e-3]) {
      const other = gains.slice();
      other[i]! += by;
      expect(objective(other)).toBeGreaterThan(best);
    }
  for (const i of [0, 3]) {
    const slope = (h: number) => objective(gains.map((g, j) => (j === i ? g + h : g)));
    expect(Math.abs(slope(1e-4) - slope(-1e-4)) / 2e-4).toBeLessThan(1e-6 * best);
  }
});

test("a large price of change leaves gains of 1", () => {
  const found = channelGains(
    layer(true),
    { known: moments(rows(3)), now: moments(rows(4, 2, 3)) },
    { ...SETTINGS, beta: 1e9 },
  )!;
  for (const g of found) expect(g).toBeCloseTo(1, 6);
});

test("channels of a direction that is everywhere in the new inputs have lower gains, and vary less together", () => {
  const identity = Float64Array.from({ length: INTO * INTO }, (_, at) => (at % (INTO + 1) === 0 ? 1 : 0));
  const own = { out: INTO, into: INTO, weight: identity, bias: undefined };
  const known = moments(rows(3));
  // The first two numbers share a loud source.
  const source = normals(9, N);
  const heard = rows(4).map((x, n) => x.map((v, k) => (k < 2 ? v + 3 * source[n]! : v)));
  const now = moments(heard);
  const before = channelGains(own, { known, now: known }, SETTINGS)!;
  const gains = channelGains(own, { known, now }, SETTINGS)!;
  for (const i of [0, 1]) {
    expect(gains[i]!).toBeLessThan(before[i]!);
    for (const other of [2, 3, 4]) expect(gains[i]!).toBeLessThan(gains[other]!);
  }
  expect(gains[0]! * gains[1]! * now.gram[1]!).toBeLessThan(before[0]! * before[1]! * now.gram[1]!);
});

test("a layer that gives nothing has no gains", () => {
  const silent = { ...layer(false), weight: new Float64Array(OUT * INTO) };
  expect(channelGains(silent, { known: moments(rows(3)), now: moments(rows(4)) }, SETTINGS)).toBeUndefined();
});
