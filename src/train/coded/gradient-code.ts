/**
 * Gradient coding: n parts of a batch, each held by s + 1 of n workers, who send one weighted sum each; of any n - s of
 * these sums the sum over all parts follows. Where s + 1 divides n, groups of s + 1 workers hold the same parts and
 * send plain sums; else worker i holds the parts i to i + s, with weights that are drawn.
 *
 * Tandon et al., "Gradient Coding: Avoiding Stragglers in Distributed Learning", ICML 2017,
 * https://proceedings.mlr.press/v70/tandon17a.html, Algorithms 1 and 2.
 */
import { keyedNormals } from "../../keyed-random.ts";
import { svd } from "../../tensor/linear-algebra/svd.ts";

/** Row i has the weights of worker i's parts. */
export type Code = readonly (readonly number[])[];

/** Solves a square system by elimination. Throws RangeError where it has no single solution. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  const n = rows.length;
  for (let at = 0; at < n; at++) {
    const pivot = rows
      .slice(at)
      .reduce((best, row, i) => (Math.abs(row[at]!) > Math.abs(rows[best]![at]!) ? at + i : best), at);
    [rows[at], rows[pivot]] = [rows[pivot]!, rows[at]!];
    if (Math.abs(rows[at]![at]!) < 1e-12) throw new RangeError("the weights of a code depend on each other");
    for (let other = 0; other < n; other++) {
      if (other === at) continue;
      const times = rows[other]![at]! / rows[at]![at]!;
      for (let column = at; column <= n; column++) rows[other]![column]! -= times * rows[at]![column]!;
    }
  }
  return rows.map((row, i) => row[n]! / row[i]!);
}

/** A code of n workers for s stragglers. */
export function gradientCode(n: number, s: number, seed: number): Code {
  const zeros = () => Array<number>(n).fill(0);
  if (n % (s + 1) === 0)
    return Array.from({ length: n }, (_, worker) => {
      const first = worker - (worker % (s + 1));
      return zeros().map((_, part) => (part >= first && part <= first + s ? 1 : 0));
    });
  // Every row is orthogonal to all rows of h, as the sum of all parts is.
  const h = Array.from({ length: s }, (_, row) => {
    const drawn = [...keyedNormals(n - 1, 1, seed, `gradient code ${n} ${s} ${row}`)];
    return [...drawn, -drawn.reduce((a, b) => a + b, 0)];
  });
  return Array.from({ length: n }, (_, worker) => {
    const own = Array.from({ length: s + 1 }, (_, k) => (worker + k) % n);
    const rest = own.slice(1);
    const weights = solve(
      h.map((row) => rest.map((part) => row[part]!)),
      h.map((row) => -row[worker]!),
    );
    const row = zeros();
    row[worker] = 1;
    for (const [k, part] of rest.entries()) row[part] = weights[k]!;
    return row;
  });
}

/** Weights of the sums that came, by which they add up to the sum of all parts; undefined where they cannot. */
export function decoding(code: Code, came: readonly number[]): number[] | undefined {
  const n = code.length;
  const rows = came.map((worker) => code[worker]!);
  if (rows.length === 0) return undefined;
  const { u, s, v } = svd(Float64Array.from(rows.flat()), rows.length, n);
  const rank = s.length;
  const weights = Array<number>(rows.length).fill(0);
  for (let k = 0; k < rank; k++) {
    if (s[k]! < 1e-9 * s[0]!) continue;
    let along = 0;
    for (let part = 0; part < n; part++) along += v[part * rank + k]!;
    for (let row = 0; row < rows.length; row++) weights[row]! += (u[row * rank + k]! * along) / s[k]!;
  }
  const isWhole = Array.from({ length: n }, (_, part) =>
    rows.reduce((sum, row, i) => sum + weights[i]! * row[part]!, 0),
  );
  return isWhole.every((sum) => Math.abs(sum - 1) < 1e-6) ? weights : undefined;
}
