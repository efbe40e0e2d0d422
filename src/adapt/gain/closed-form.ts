/**
 * Gains of a layer's channels that suit new inputs: what is read can still be told from the responses, which are to be
 * small. After Duong et al., NeurIPS 2023, Adaptive coding efficiency in recurrent cortical circuits via gain control,
 * https://arxiv.org/abs/2305.19869; the closed form for a layer without recurrence is our own.
 *
 *   minimise over g   E|x - D (g * r)|^2 + a E|g * r|^2 + b |g - 1|^2        r = W x + bias
 *   D = E'[x r^T] (E'[r r^T] + ridge I)^-1                                   over the inputs that the layer knows
 *
 * With C = E[r r^T] and N = D^T D the gains solve ((N * C) + a diag C + b I) g = diag(D^T E[x r^T]) + b 1. a and b are
 * in units of the first term: alpha tr(N * C) / tr C and beta tr(N * C) / channels. f64 on the host; about out^3 + out
 * in^2 multiplications.
 */
import { symmetricInverse } from "../../tensor/linear-algebra/cholesky.ts";

/** A linear layer, W (out, in). */
export interface GainLayer {
  readonly out: number;
  readonly into: number;
  readonly weight: Float64Array;
  readonly bias?: Float64Array | undefined;
}

/** What a layer reads: E[x x^T] (in, in) and E[x]. */
export interface InputMoments {
  readonly gram: Float64Array;
  readonly mean: Float64Array;
}

export interface GainSettings {
  /** Price of activity. */
  readonly alpha: number;
  /** Price of gains other than 1. */
  readonly beta: number;
  /** Of the decoder, as a share of the mean square of the responses. */
  readonly ridge: number;
}

/** E[x r^T] (in, out), and E[r r^T] (out, out). */
function responses({ out, into, weight, bias }: GainLayer, { gram, mean }: InputMoments) {
  const cross = new Float64Array(into * out);
  for (let k = 0; k < into; k++)
    for (let i = 0; i < out; i++) {
      let sum = bias ? mean[k]! * bias[i]! : 0;
      for (let j = 0; j < into; j++) sum += gram[k * into + j]! * weight[i * into + j]!;
      cross[k * out + i] = sum;
    }
  const square = new Float64Array(out * out);
  for (let i = 0; i < out; i++) {
    const own = square.subarray(i * out, (i + 1) * out);
    for (let k = 0; k < into; k++) for (let j = 0; j < out; j++) own[j]! += weight[i * into + k]! * cross[k * out + j]!;
    if (!bias) continue;
    for (let j = 0; j < out; j++) {
      let level = bias[j]!;
      for (let k = 0; k < into; k++) level += weight[j * into + k]! * mean[k]!;
      own[j]! += bias[i]! * level;
    }
  }
  return { cross, square };
}

const trace = (matrix: Float64Array, n: number): number => {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += matrix[i * n + i]!;
  return sum;
};

/** The ridge decoder (in, out); undefined where the layer gives nothing. */
function decoder({ cross, square }: ReturnType<typeof responses>, { out, into }: GainLayer, ridge: number) {
  const least = (ridge * trace(square, out)) / out;
  if (!(least > 0)) return undefined;
  const damped = square.slice();
  for (let i = 0; i < out; i++) damped[i * out + i]! += least;
  const inverse = symmetricInverse(damped, out);
  if (!inverse) return undefined;
  const d = new Float64Array(into * out);
  for (let k = 0; k < into; k++)
    for (let i = 0; i < out; i++) {
      const factor = cross[k * out + i]!;
      for (let j = 0; j < out; j++) d[k * out + j]! += factor * inverse[i * out + j]!;
    }
  return d;
}

/** The gains (out); undefined where the layer gives nothing on the known inputs or the new ones. */
export function channelGains(
  layer: GainLayer,
  { known, now }: { readonly known: InputMoments; readonly now: InputMoments },
  { alpha, beta, ridge }: GainSettings,
): Float64Array | undefined {
  const { out, into } = layer;
  const d = decoder(responses(layer, known), layer, ridge);
  if (!d) return undefined;
  const { cross, square } = responses(layer, now);
  const system = new Float64Array(out * out);
  for (let k = 0; k < into; k++)
    for (let i = 0; i < out; i++)
      for (let j = 0; j < out; j++) system[i * out + j]! += d[k * out + i]! * d[k * out + j]!;
  for (const [at, c] of square.entries()) system[at]! *= c;
  const [scale, activity] = [trace(system, out), trace(square, out)];
  if (!(scale > 0 && activity > 0)) return undefined;
  const [a, b] = [(alpha * scale) / activity, (beta * scale) / out];
  const right = new Float64Array(out).fill(b);
  for (let k = 0; k < into; k++) for (let i = 0; i < out; i++) right[i]! += d[k * out + i]! * cross[k * out + i]!;
  for (let i = 0; i < out; i++) system[i * out + i]! += a * square[i * out + i]! + b;
  const inverse = symmetricInverse(system, out);
  if (!inverse) return undefined;
  return Float64Array.from({ length: out }, (_, i) => right.reduce((sum, x, j) => sum + inverse[i * out + j]! * x, 0));
}
