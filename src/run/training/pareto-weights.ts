/**
 * Weights of several objectives by a small linear program, so that a step along their weighted gradient sacrifices
 * none. Lv et al. (Pareto domain adaptation), NeurIPS 2021, https://arxiv.org/abs/2112.04137, after Mahapatra and
 * Rajan, ICML 2020.
 *
 * With g_j the gradients, M = G G^T and w on the simplex:
 *   descent   maximise sum_j (M w)_j subject to M w >= 0: all objectives go down.
 *   guided    with a_j = g_j . g_v of a guide: maximise w . a subject to (M w)_j >= r_j. r_j is none where a_j > 0,
 *             since what agrees with the guide may be hurt, but 0 for the objective that agrees most; else a_j, no
 *             worse than to follow the guide. Where no a_j > 0 all r are 0.
 */

/** Most objectives: the program is solved by its vertices, whose number grows with the binomial of 2 m over m - 1. */
export const MOST_OBJECTIVES = 8;

/** What a bound may be missed by, relative to the largest gradient's squared length. */
const SLACK = 1e-9;

/** normal . w >= bound */
interface Bound {
  readonly normal: readonly number[];
  readonly bound: number;
}

/** The solution of a square system by elimination; undefined where it is singular to 1e-12. */
function solved(rows: readonly (readonly number[])[], right: readonly number[]): number[] | undefined {
  const n = rows.length;
  const a = rows.map((row, i) => [...row, right[i]!]);
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let r = column + 1; r < n; r++) if (Math.abs(a[r]![column]!) > Math.abs(a[pivot]![column]!)) pivot = r;
    if (Math.abs(a[pivot]![column]!) < 1e-12) return undefined;
    [a[column], a[pivot]] = [a[pivot]!, a[column]!];
    for (let r = 0; r < n; r++) {
      if (r === column) continue;
      const factor = a[r]![column]! / a[column]![column]!;
      if (factor !== 0) for (let c = column; c <= n; c++) a[r]![c]! -= factor * a[column]![c]!;
    }
  }
  return a.map((row, i) => row[n]! / row[i]!);
}

/** All choices of `count` of the numbers below `of`, in order. */
function* choices(of: number, count: number, from = 0): Generator<number[]> {
  if (count === 0) {
    yield [];
    return;
  }
  for (let first = from; first <= of - count; first++)
    for (const rest of choices(of, count - 1, first + 1)) yield [first, ...rest];
}

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

/** The best vertex of the simplex within the bounds; undefined where there is none. Of equals the first. */
function best(gain: readonly number[], bounds: readonly Bound[]): number[] | undefined {
  const m = gain.length;
  const ones = Array<number>(m).fill(1);
  let found: { readonly w: number[]; readonly value: number } | undefined;
  for (const active of choices(bounds.length, m - 1)) {
    const tight = active.map((i) => bounds[i]!);
    const w = solved([ones, ...tight.map(({ normal }) => normal)], [1, ...tight.map(({ bound }) => bound)]);
    if (!w || bounds.some(({ normal, bound }) => dot(normal, w) < bound - SLACK)) continue;
    const value = dot(gain, w);
    if (!found || value > found.value + SLACK) found = { w, value };
  }
  return found?.w.map((value) => Math.max(0, value));
}

/**
 * Weights that sum to 1 of the shortest vector in the hull of the gradients, of at most `MOST_OBJECTIVES`: a step along
 * it lowers every objective, where one that does exists. Desideri 2012, https://doi.org/10.1016/j.crma.2012.03.014
 * Exact: of every choice of gradients that count, the shortest affine combination is solved for. Equal weights where
 * every gradient is 0. Throws RangeError for more objectives.
 */
export function shortestWeights(gram: readonly (readonly number[])[]): number[] {
  const m = refuseMany(gram.length);
  const scale = Math.max(...gram.map((row, j) => row[j]!));
  if (m < 2 || !(scale > 0)) return Array<number>(m).fill(1 / m);
  const matrix = gram.map((row) => row.map((value) => value / scale));
  let found: { readonly w: number[]; readonly square: number } | undefined;
  for (let count = 1; count <= m; count++)
    for (const active of choices(m, count)) {
      // Stationary on the plane sum w = 1: M w = nu 1.
      const rows = [...active.map((i) => [...active.map((k) => matrix[i]![k]!), -1]), [...active.map(() => 1), 0]];
      const part = solved(rows, [...active.map(() => 0), 1]);
      if (!part || active.some((_, i) => part[i]! < -SLACK)) continue;
      const w = Array<number>(m).fill(0);
      for (const [i, at] of active.entries()) w[at] = Math.max(0, part[i]!);
      const square = w.reduce((sum, value, i) => sum + value * dot(matrix[i]!, w), 0);
      if (!found || square < found.square - SLACK) found = { w, square };
    }
  return found!.w;
}

function refuseMany(count: number): number {
  if (count > MOST_OBJECTIVES) throw new RangeError(`${count} objectives, and at most ${MOST_OBJECTIVES} are weighed`);
  return count;
}

/**
 * Weights that sum to 1, of at most `MOST_OBJECTIVES`. `gram`: inner products of the gradients; `guide`: those with the
 * guide's gradient, where there is one. Those of the shortest vector where nothing is feasible, which without a guide
 * only rounding brings about; equal weights where every gradient is 0. Throws RangeError for more objectives.
 */
export function paretoWeights(gram: readonly (readonly number[])[], guide?: readonly number[]): number[] {
  const m = refuseMany(gram.length);
  const equal = Array<number>(m).fill(1 / m);
  const scale = Math.max(...gram.map((row, j) => row[j]!));
  if (m < 2 || !(scale > 0)) return equal;
  // Only ratios of the lengths count. The guide's own length drops out, so that it is brought to the same scale.
  const matrix = gram.map((row) => row.map((value) => value / scale));
  const positive = equal.map((_, j) => ({ normal: equal.map((_, i) => (i === j ? 1 : 0)), bound: 0 }));
  if (!guide) {
    const gain = equal.map((_, i) => matrix.reduce((sum, row) => sum + row[i]!, 0));
    return best(gain, [...positive, ...matrix.map((normal) => ({ normal, bound: 0 }))]) ?? shortestWeights(gram);
  }
  const aligned = guide.map((value) => value / scale);
  const most = aligned.indexOf(Math.max(...aligned));
  const agrees = aligned[most]! > 0;
  const bounds = matrix.flatMap((normal, j): Bound[] => {
    if (!agrees || j === most) return [{ normal, bound: 0 }];
    return aligned[j]! > 0 ? [] : [{ normal, bound: aligned[j]! }];
  });
  return best(aligned, [...positive, ...bounds]) ?? shortestWeights(gram);
}

/** sum_j w_j g_j times their number, and the weights. */
export function paretoGradient(
  gradients: readonly Float64Array[],
  guide?: Float64Array,
): { readonly weights: number[]; readonly gradient: Float64Array } {
  const inner = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const weights = paretoWeights(
    gradients.map((a) => gradients.map((b) => inner(a, b))),
    guide && gradients.map((a) => inner(a, guide)),
  );
  const gradient = new Float64Array(gradients[0]!.length);
  for (const [j, own] of gradients.entries())
    for (const [i, value] of own.entries()) gradient[i]! += gradients.length * weights[j]! * value;
  return { weights, gradient };
}
