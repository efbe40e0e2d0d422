/**
 * A learned drift: what is taken off an importance-weighted gain where a policy moves away from the one that acted.
 *
 *   raise mean rho A - f(rho, A, t/T, ln T),  rho = pi(a | s) / pi_old(a | s),  in several passes over a rollout
 *   f = max(0, psi(x) - 1e-6),  x = (d, d^2, d A, d^2 A, l, l^2, l A, l^2 A), each also times 2 t/T - 1 and ln T
 *   scaled,  d = 1 - rho, l = ln rho;  psi has no biases
 *
 * At rho = 1 every input is 0, so f is 0 there and has no slope. Lu et al., Discovered Policy Optimisation, NeurIPS
 * 2022, https://arxiv.org/abs/2210.05639; with time: Jackson et al., ICLR 2024, https://arxiv.org/abs/2402.05828
 */
import { Random } from "../../../data/random.ts";
import { whitened } from "../../control/clipped.ts";
import { clockOf, type Form, type Rival } from "../form.ts";
import { addEntropy, addLog, type Lab, Tabular } from "../tabular.ts";

const PASSES = 4;
const FLOOR = 1e-6;
const OWN = 8;
const INPUTS = 3 * OWN;
type Clock = readonly [number, number];

/** Ranges of proximal policy optimisation that are tried. */
const CLIPS = [0.1, 0.2, 0.4, 0.8];

/** Writes x of one action, and its derivative by rho. */
function readInto(x: Float64Array, slopes: Float64Array, [rho, gain]: readonly [number, number], clock: Clock): void {
  const [d, l] = [1 - rho, Math.log(rho)];
  const [dl, ll] = [1 / rho, (2 * l) / rho];
  x.set([d, d * d, d * gain, d * d * gain, l, l * l, l * gain, l * l * gain]);
  slopes.set([-1, -2 * d, -gain, -2 * d * gain, dl, ll, dl * gain, ll * gain]);
  for (let i = 0; i < OWN; i++)
    for (const [k, by] of clock.entries()) {
      x[(k + 1) * OWN + i] = by * x[i]!;
      slopes[(k + 1) * OWN + i] = by * slopes[i]!;
    }
}

/** f and df / drho; psi is tanh over (units, inputs), then (units). */
export function drift(
  weights: Float64Array,
  rho: number,
  gain: number,
  clock: Clock,
): { readonly value: number; readonly slope: number } {
  const units = weights.length / (INPUTS + 1);
  const [x, slopes] = [new Float64Array(INPUTS), new Float64Array(INPUTS)];
  readInto(x, slopes, [rho, gain], clock);
  let [value, slope] = [0, 0];
  for (let unit = 0; unit < units; unit++) {
    let [sum, along] = [0, 0];
    for (let i = 0; i < INPUTS; i++) {
      sum += weights[unit * INPUTS + i]! * x[i]!;
      along += weights[unit * INPUTS + i]! * slopes[i]!;
    }
    const t = Math.tanh(sum);
    const last = weights[units * INPUTS + unit]!;
    value += last * t;
    slope += last * (1 - t * t) * along;
  }
  return value > FLOOR ? { value: value - FLOOR, slope } : { value: 0, slope: 0 };
}

/** The slope by rho of what is raised. */
type Slope = (rho: number, gain: number, progress: number, length: number) => number;

function live(lab: Lab, slope: Slope, length: number, key: number): number {
  const learner = new Tabular(lab, key);
  for (let update = 0; update < length; update++) {
    const trails = learner.walk();
    const gains = whitened(Float64Array.from(trails.flatMap((trail) => learner.advantages(trail))));
    const taken = trails.flatMap(({ states, actions, logs }) =>
      states.map((state, i) => ({ state, action: actions[i]!, log: logs[i]! })),
    );
    for (let pass = 0; pass < PASSES; pass++) {
      const into = new Float64Array(learner.logits.length);
      for (const [i, { state, action, log }] of taken.entries()) {
        const rho = Math.exp(Math.min(20, learner.logs(state)[action]! - log));
        const along = slope(rho, gains[i]!, update / length, length);
        addLog(learner, into, [state, action], along * rho);
        addEntropy(learner, into, state, lab.entropy);
      }
      learner.raise(into, lab.lr / trails.length);
    }
  }
  return learner.worth();
}

/** The gain while the ratio is in the range, or comes back to it. */
const clipped =
  (range: number): Slope =>
  (rho, gain) =>
    (gain > 0 ? rho > 1 + range : rho < 1 - range) ? 0 : gain;

export function driftForm(lab: Lab, units: number, lengths: readonly [number, number], sees: boolean): Form {
  const clock = clockOf(lengths, sees);
  const rival = (name: string, slope: Slope): Rival => ({
    name,
    live: (length, key) => live(lab, slope, length, key),
  });
  return {
    first(seed) {
      const random = new Random(seed, "drift");
      const weights = new Float64Array(units * (INPUTS + 1));
      for (let i = 0; i < units * INPUTS; i++) weights[i] = random.normal() / Math.sqrt(INPUTS);
      return weights;
    },
    live(weights, length, key) {
      const slope: Slope = (rho, gain, progress, T) => gain - drift(weights, rho, gain, clock(progress, T)).slope;
      return live(lab, slope, length, key);
    },
    tensors: (weights) => [
      { name: "drift.0.weight", shape: [units, INPUTS], values: weights.slice(0, units * INPUTS) },
      { name: "drift.1.weight", shape: [1, units], values: weights.slice(units * INPUTS) },
    ],
    base: rival("no drift", (_, gain) => gain),
    constants: CLIPS.map((range) => rival(`clip ${range}`, clipped(range))),
  };
}
