/**
 * A vector a = bound tanh(u), u ~ N(mean, deviation^2), part by part. The network's outputs are the means, then numbers
 * z with ln deviation = -4 + 2.5 (1 + tanh z), between -4 and 1.
 *
 * Haarnoja et al., Soft Actor-Critic, ICML 2018, appendix C.
 */
import type { Action } from "../../data/worlds/world.ts";
import type { Head } from "./head.ts";

const [LEAST, RANGE] = [-4, 2.5];
/** What an action at its bound counts as, in parts of the bound. */
const EDGE = 1 - 1e-3;

/** Deviation of z, and the derivative of its logarithm. */
function spread(z: number) {
  const t = Math.tanh(z);
  const log = LEAST + RANGE * (1 + t);
  return { deviation: Math.exp(log), log, slope: RANGE * (1 - t * t) };
}

const clipped = (a: number, bound: number): number => Math.min(EDGE, Math.max(-EDGE, a / bound));

export function squashedGaussian(dims: number, bound: number): Head {
  const parts = Array.from({ length: dims }, (_, i) => i);
  const sumOf = (of: (i: number) => number) => parts.reduce((sum, i) => sum + of(i), 0);
  const at = (action: Action, i: number) => clipped((action as readonly number[])[i]!, bound);
  return {
    outputs: 2 * dims,
    width: dims,
    encode: (action) => parts.map((i) => Math.min(1, Math.max(-1, (action as readonly number[])[i]! / bound))),
    sample: (out, random) =>
      parts.map((i) => bound * Math.tanh(out[i]! + spread(out[dims + i]!).deviation * random.normal())),
    mode: (out) => parts.map((i) => bound * Math.tanh(out[i]!)),
    logProbability: (out, action) =>
      sumOf((i) => {
        const { deviation, log } = spread(out[dims + i]!);
        const t = at(action, i);
        const z = (Math.atanh(t) - out[i]!) / deviation;
        return -0.5 * z * z - log - 0.5 * Math.log(2 * Math.PI) - Math.log(bound * (1 - t * t));
      }),
    addLogGradient(out, action, factor, into) {
      for (const i of parts) {
        const { deviation, slope } = spread(out[dims + i]!);
        const z = (Math.atanh(at(action, i)) - out[i]!) / deviation;
        into[i]! += (factor * z) / deviation;
        into[dims + i]! += factor * (z * z - 1) * slope;
      }
    },
    entropy: (out) => sumOf((i) => spread(out[dims + i]!).log + 0.5 * Math.log(2 * Math.PI * Math.E)),
    addEntropyGradient(out, factor, into) {
      for (const i of parts) into[dims + i]! += factor * spread(out[dims + i]!).slope;
    },
    // Squashing both alike leaves the divergence of the Gaussians.
    divergence: (out, other) =>
      sumOf((i) => {
        const [p, q] = [spread(out[dims + i]!), spread(other[dims + i]!)];
        const moved = (out[i]! - other[i]!) / q.deviation;
        const ratio = p.deviation / q.deviation;
        return q.log - p.log + 0.5 * (ratio * ratio + moved * moved - 1);
      }),
    addDivergenceGradient(out, other, factor, into) {
      for (const i of parts) {
        const [p, q] = [spread(out[dims + i]!), spread(other[dims + i]!)];
        const ratio = p.deviation / q.deviation;
        into[i]! += (factor * (out[i]! - other[i]!)) / (q.deviation * q.deviation);
        into[dims + i]! += factor * (ratio * ratio - 1) * p.slope;
      }
    },
    expected(out, critic, random) {
      const drawn = parts.map((i) => {
        const { deviation, slope } = spread(out[dims + i]!);
        const pushed = deviation * random.normal();
        return { t: Math.tanh(out[i]! + pushed), pushed, slope };
      });
      const { values, gradients } = critic(
        Float64Array.from(drawn, ({ t }) => t),
        1,
      );
      const gradient = new Float64Array(2 * dims);
      for (const [i, { t, pushed, slope }] of drawn.entries()) {
        gradient[i] = gradients[i]! * (1 - t * t);
        gradient[dims + i] = gradient[i]! * pushed * slope;
      }
      return { value: values[0]!, gradient };
    },
  };
}
