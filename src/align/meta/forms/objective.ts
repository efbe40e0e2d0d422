/**
 * A learned objective: a recurrent network that reads a walk from its end says what every step's action and state are
 * to be moved to.
 *
 *   (pi_t, y_t) = U(r_t, done_t, pi(a_t | s_t), phi(y(s_t)), phi(y(s_t+1)), 2 t/T - 1, ln T scaled)
 *   lower mean ln pi(a_t | s_t) pi_t + c KL(y(s_t) || y_t)
 *
 * y(s) is a distribution over a few classes, whose meaning the objective makes up; U forgets at the end of an episode.
 * Oh et al., Discovering Reinforcement Learning Algorithms, NeurIPS 2020, https://arxiv.org/abs/2007.08794; with time:
 * Jackson et al., ICLR 2024, https://arxiv.org/abs/2402.05828
 */
import { Random } from "../../../data/random.ts";
import { logSoftmax } from "../../../run/small-nets/categorical.ts";
import { gruStep, gruWeights } from "../../../run/small-nets/gru.ts";
import { clockOf, type Form, type Rival } from "../form.ts";
import { addLog, type Lab, Tabular, type Trail } from "../tabular.ts";
import { tabularLifetime } from "../tabular-lifetime.ts";

const CLASSES = 8;
/** Values that the recurrent network reads. */
const INPUTS = 7;
/** c, and the rate of y beside that of the policy. */
const [KL, VALUE_RATE] = [0.5, 1];
/** Weights of the entropy bonus that the learner by advantages is tried with, as parts of its own. */
const BONUSES = [0, 0.3, 1, 3];

interface Parts {
  readonly recurrent: Float64Array;
  /** phi, (classes) */
  readonly embedding: Float64Array;
  /** (1 + classes, units), then biases (1 + classes) */
  readonly out: Float64Array;
  readonly units: number;
}

function partsOf(weights: Float64Array, units: number): Parts {
  const first = gruWeights(INPUTS, units);
  return {
    recurrent: weights.subarray(0, first),
    embedding: weights.subarray(first, first + CLASSES),
    out: weights.subarray(first + CLASSES),
    units,
  };
}

const sizeOf = (units: number) => gruWeights(INPUTS, units) + CLASSES + (1 + CLASSES) * (units + 1);

/** What the objective says of a walk: of each step how its action is to be moved, and ln of what its state is to be. */
export function targetsOf(
  { recurrent, embedding, out, units }: Parts,
  { states, nexts, rewards, ends, logs }: Pick<Trail, "states" | "nexts" | "rewards" | "ends" | "logs">,
  ys: (state: number) => Float64Array,
  clock: readonly [number, number],
): { readonly moves: Float64Array; readonly classes: readonly Float64Array[] } {
  const phi = (state: number) => ys(state).reduce((sum, log, i) => sum + Math.exp(log) * embedding[i]!, 0);
  const moves = new Float64Array(states.length);
  const classes = new Array<Float64Array>(states.length);
  let h = new Float64Array(units);
  for (let i = states.length - 1; i >= 0; i--) {
    if (ends[i] === 1) h = new Float64Array(units);
    const next = ends[i] === 1 ? 0 : phi(nexts[i]!);
    h = gruStep(
      recurrent,
      [rewards[i]!, ends[i]!, Math.exp(logs[i]!), phi(states[i]!), next, ...clock],
      h,
    ) as Float64Array<ArrayBuffer>;
    const made = Float64Array.from({ length: 1 + CLASSES }, (_, row) =>
      h.reduce((sum, x, unit) => sum + out[row * units + unit]! * x, out[(1 + CLASSES) * units + row]!),
    );
    moves[i] = made[0]!;
    classes[i] = logSoftmax(made.slice(1));
  }
  return { moves, classes };
}

function live(lab: Lab, parts: Parts, clock: ReturnType<typeof clockOf>, length: number, key: number): number {
  const learner = new Tabular(lab, key);
  const ys = new Float64Array(learner.world.width * CLASSES);
  const random = new Random("classes", key);
  for (const i of ys.keys()) ys[i] = 0.1 * random.normal();
  const of = (state: number) => logSoftmax(ys.subarray(state * CLASSES, (state + 1) * CLASSES));
  for (let update = 0; update < length; update++) {
    const trails = learner.walk();
    const [into, moved] = [new Float64Array(learner.logits.length), new Float64Array(ys.length)];
    for (const trail of trails) {
      const { moves, classes } = targetsOf(parts, trail, of, clock(update / length, length));
      for (const [i, state] of trail.states.entries()) {
        addLog(learner, into, [state, trail.actions[i]!], -moves[i]!);
        const own = of(state);
        const gap = own.map((log, k) => log - classes[i]![k]!);
        const divergence = own.reduce((sum, log, k) => sum + Math.exp(log) * gap[k]!, 0);
        for (const [k, log] of own.entries())
          moved[state * CLASSES + k]! -= KL * Math.exp(log) * (gap[k]! - divergence);
      }
    }
    learner.raise(into, lab.lr / trails.length);
    for (const [i, g] of moved.entries()) ys[i]! += (VALUE_RATE * lab.lr * g) / trails.length;
  }
  return learner.worth();
}

export function objectiveForm(lab: Lab, units: number, lengths: readonly [number, number], sees: boolean): Form {
  const clock = clockOf(lengths, sees);
  const rival = (name: string, bonus: number): Rival => ({
    name,
    live: (length, key) => tabularLifetime(lab, () => [1, bonus], length, key),
  });
  return {
    first(seed) {
      const random = new Random(seed, "objective");
      return Float64Array.from({ length: sizeOf(units) }, () => random.normal() / Math.sqrt(INPUTS + units));
    },
    live: (weights, length, key) => live(lab, partsOf(weights, units), clock, length, key),
    tensors(weights) {
      const { recurrent, embedding, out } = partsOf(weights, units);
      const last = (1 + CLASSES) * units;
      return [
        { name: "objective.recurrent", shape: [recurrent.length], values: recurrent.slice() },
        { name: "objective.embedding", shape: [CLASSES], values: embedding.slice() },
        { name: "objective.out.weight", shape: [1 + CLASSES, units], values: out.slice(0, last) },
        { name: "objective.out.bias", shape: [1 + CLASSES], values: out.slice(last) },
      ];
    },
    base: rival("advantages", 1),
    constants: BONUSES.map((bonus) => rival(`entropy x ${bonus}`, bonus)),
  };
}
