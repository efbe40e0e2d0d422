/**
 * What infinitely wide two-layer ReLU networks say on average after training on the k one-hot inputs of a permutation
 * of bits, in closed form: mean(x) = k(x, E) G^-1 Y, with the neural tangent kernel of unit vectors at inner product
 * u,
 *
 *   k(u) = u (pi - acos u) / pi + (u (pi - acos u) + sqrt(1 - u^2)) / pi,    G = (2 - 1/pi) I + (1/pi) 1 1^T.
 *
 * Exact Learning of Permutations for Nonzero Binary Inputs with Logarithmic Training Size and Quadratic Ensemble
 * Complexity, https://arxiv.org/abs/2502.16763: its sign is the permuted input, for every input but zero.
 */

/** The kernel of two unit vectors. */
export function tangentKernel(u: number): number {
  const angle = u * (Math.PI - Math.acos(Math.min(1, Math.max(-1, u))));
  return angle / Math.PI + (angle + Math.sqrt(Math.max(0, 1 - u * u))) / Math.PI;
}

/** Mean outputs (k) for an input of bits, scaled to unit length. `targets[i]` is where bit i goes. */
export function meanOutputs(bits: readonly number[], targets: readonly number[]): Float64Array {
  const k = bits.length;
  const ones = bits.reduce((a, b) => a + b, 0);
  const row = bits.map((bit) => tangentKernel(bit / Math.sqrt(ones)));
  // G^-1 of a I + b 1 1^T is I / a - b / (a (a + k b)) 1 1^T.
  const [a, b] = [2 - 1 / Math.PI, 1 / Math.PI];
  const shared = (b / (a * (a + k * b))) * row.reduce((sum, value) => sum + value, 0);
  const outputs = new Float64Array(k);
  for (const [i, target] of targets.entries()) outputs[target] = row[i]! / a - shared;
  return outputs;
}
