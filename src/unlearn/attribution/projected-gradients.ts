/**
 * TRAK: what a row adds to a model's outputs, from gradients in few numbers. Park et al., "TRAK: Attributing Model
 * Behavior at Scale", ICML 2023, https://arxiv.org/abs/2303.14186
 *
 *   effect of row i on output c of x = J_c(x)^T (G^T G + mu I)^-1 g_i (1 - p_i)
 *
 * g_i (rows of G) is the gradient of row i's margin, z_y - logsumexp of the other logits, and p_i the probability of
 * its label; J_c(x) is that of a logit, so that margins of effects are the effects on margins. Departs from the paper
 * in the projection, a CountSketch in the place of random signs.
 */
import type { Example } from "../../data/examples.ts";
import type { Model } from "../../model/model.ts";
import { type OutputSum, outputSketches } from "../../run/scoring/output-sketches.ts";
import { choleskyFactor, solveLower, solveUpper } from "../../tensor/linear-algebra/cholesky.ts";

/** The margin's slope in the logits (C), and the probability of the label. */
export function marginOf(logits: ArrayLike<number>, label: number): { slope: Float32Array; likely: number } {
  const classes = logits.length;
  let most = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < classes; c++) if (c !== label) most = Math.max(most, logits[c]!);
  const others = Float64Array.from({ length: classes }, (_, c) => (c === label ? 0 : Math.exp(logits[c]! - most)));
  const total = others.reduce((sum, x) => sum + x, 0);
  const slope = Float32Array.from(others, (x, c) => (c === label ? 1 : -x / total));
  return { slope, likely: 1 / (1 + Math.exp(most + Math.log(total) - logits[label]!)) };
}

/** (G^T G + mu I)^-1 G^T diag(q), a vector (k) for each row of G: in the smaller of the two forms. */
export function solvedGradients(g: readonly Float64Array[], q: ArrayLike<number>, mu: number): Float64Array[] {
  const [n, k] = [g.length, g[0]!.length];
  const wide = n < k;
  const size = wide ? n : k;
  const gram = new Float64Array(size * size);
  if (wide)
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) {
        let sum = 0;
        for (let at = 0; at < k; at++) sum += g[i]![at]! * g[j]![at]!;
        gram[i * n + j] = sum;
        gram[j * n + i] = sum;
      }
  else
    for (const row of g)
      for (let i = 0; i < k; i++) {
        const x = row[i]!;
        if (x !== 0) for (let j = 0; j < k; j++) gram[i * k + j]! += x * row[j]!;
      }
  for (let i = 0; i < size; i++) gram[i * size + i]! += mu;
  const l = choleskyFactor(gram, size);
  if (!l) throw new RangeError(`a penalty of ${mu} is too small for these gradients`);
  const solve = (b: ArrayLike<number>) => solveUpper(l, solveLower(l, b, size), size);
  if (!wide) return g.map((row, i) => solve(row).map((x) => x * q[i]!));
  return g.map((_, i) => {
    const dual = solve(Float64Array.from({ length: n }, (_, j) => (i === j ? q[i]! : 0)));
    const own = new Float64Array(k);
    for (const [j, row] of g.entries()) for (let at = 0; at < k; at++) own[at]! += dual[j]! * row[at]!;
    return own;
  });
}

export interface TrakSettings {
  /** Numbers of a gradient. */
  readonly width: number;
  readonly mu: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/**
 * Effects of rows on the outputs of points, (rows, points, C). `logits`: (points, C), the rows' points first. Backward
 * passes: rows + C points; memory on the host: 16 width bytes a row, and the effects.
 */
export async function gradientEffects(
  model: Model,
  { rows, points, logits }: { rows: readonly Example[]; points: readonly Example[]; logits: Float32Array },
  { mu, ...settings }: TrakSettings,
): Promise<Float32Array> {
  const classes = logits.length / points.length;
  const margins = rows.map(({ label }, i) => marginOf(logits.subarray(i * classes, (i + 1) * classes), label));
  const g: Float64Array[] = [];
  const ofMargins = rows.map((example, i) => ({ example, weights: margins[i]!.slope }));
  for await (const [, sketch] of outputSketches(model, ofMargins, settings)) g.push(sketch);
  const solved = solvedGradients(
    g,
    margins.map(({ likely }) => 1 - likely),
    mu,
  );
  const size = points.length * classes;
  const effects = new Float32Array(rows.length * size);
  const ofOutputs = points.flatMap((example, p): (OutputSum & { readonly at: number })[] =>
    Array.from({ length: classes }, (_, c) => ({
      ...{ example, at: p * classes + c },
      weights: Float32Array.from({ length: classes }, (_, k) => (k === c ? 1 : 0)),
    })),
  );
  for await (const [{ at }, j] of outputSketches(model, ofOutputs, settings))
    for (const [i, own] of solved.entries()) {
      let sum = 0;
      for (let k = 0; k < j.length; k++) sum += own[k]! * j[k]!;
      effects[i * size + at] = sum;
    }
  return effects;
}
