/**
 * A family of policies in one network, indexed by how closely they keep to the data, and the model that chooses the
 * index, beta, by state: `--family` of awr.
 *
 *   pi(a | s, e(beta)), e_2i = sin(beta / 10^4^(2i / 6)), e_2i+1 = cos(..)
 *   b(beta | s): a squashed Gaussian over the range, which raises min_i Q_i(s, a ~ pi(. | s, e(beta))) + alpha H(b);
 *   alpha is moved until the entropy of b is -1, of beta scaled to [-1, 1]
 *
 * Wang et al., Train Once, Get a Family: State-Adaptive Balances for Offline-to-Online Reinforcement Learning, NeurIPS
 * 2023, https://arxiv.org/abs/2310.17966; the entropy as in Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905
 */
import type { Random } from "../../data/random.ts";
import type { State, World } from "../../data/worlds/world.ts";
import { type Kept, keptTogether, type Numbers } from "../../run/small-nets/kept.ts";
import type { NamedTensor } from "../../run/small-nets/mlp.ts";
import { squashedGaussian } from "../../run/small-nets/squashed-gaussian.ts";
import { Moved, Trained } from "../../run/small-nets/trained.ts";
import type { Actor, Training } from "./contract.ts";
import type { Critics } from "./critics.ts";
import type { Networks } from "./networks.ts";
import { Policy } from "./policy.ts";
import type { Batch } from "./transitions.ts";

const WIDTH = 6;
const TARGET_ENTROPY = -1;
const BALANCE = squashedGaussian(1, 1);

const scaleOf = (i: number): number => 1e4 ** (-(2 * Math.floor(i / 2)) / WIDTH);

/** e(beta) */
export const embedded = (beta: number): number[] =>
  Array.from({ length: WIDTH }, (_, i) => (i % 2 === 0 ? Math.sin : Math.cos)(beta * scaleOf(i)));

/** de / dbeta */
export const embeddedSlope = (beta: number): number[] =>
  Array.from({ length: WIDTH }, (_, i) => {
    const x = beta * scaleOf(i);
    return scaleOf(i) * (i % 2 === 0 ? Math.cos(x) : -Math.sin(x));
  });

export class Family implements Kept {
  readonly policy: Policy;
  readonly #world: World;
  readonly #range: readonly [number, number];
  readonly #balance: Trained;
  readonly #logAlpha: Moved;
  readonly #kept: Kept;

  constructor(world: World, training: Training, range: readonly [number, number], seed: number) {
    this.#world = world;
    this.#range = range;
    this.policy = Policy.fresh(world, training, seed, "policy", WIDTH);
    const { hidden, lr } = training;
    this.#balance = new Trained({ sizes: [world.width, ...hidden, 2], lr, last: 0.1 }, seed, "balance");
    this.#logAlpha = new Moved(Float64Array.of(Math.log(0.1)), lr);
    this.#kept = keptTogether({ policy: this.policy, balance: this.#balance, alpha: this.#logAlpha });
  }

  /** Begins with that of an earlier run. Throws UserError where it does not fit. */
  fill(from: Networks): void {
    from.fill(this.policy.net, "policy");
    from.fill(this.#balance.net, "balance");
  }

  /** beta of a number in [-1, 1] */
  #beta(t: number): number {
    const [low, high] = this.#range;
    return low + ((high - low) * (t + 1)) / 2;
  }

  /** A beta that is uniform over the range. */
  uniform(random: Random): number {
    return this.#beta(2 * random.uniform() - 1);
  }

  /** What the balance model chooses in a state: drawn, or that of its mean. */
  chosen(state: State, random?: Random): number {
    const out = this.#balance.net.output(Float64Array.from(this.#world.observe(state)), 1);
    const t = random ? BALANCE.sample(out, random) : BALANCE.mode(out);
    return this.#beta((t as readonly number[])[0]!);
  }

  /** Inputs of the policy: states, each with the embedding of its beta. */
  inputs({ states, rows }: Batch, betas: ArrayLike<number>): Float64Array {
    const width = this.#world.width;
    const all = new Float64Array(rows * (width + WIDTH));
    for (let row = 0; row < rows; row++) {
      all.set(states.subarray(row * width, (row + 1) * width), row * (width + WIDTH));
      all.set(embedded(betas[row]!), row * (width + WIDTH) + width);
    }
    return all;
  }

  /** min Q that the policy of a beta expects in a state, and its derivative by beta. */
  worth(state: Float64Array, beta: number, critics: Critics, random: Random): { value: number; slope: number } {
    const { head, net } = this.policy;
    const pass = net.forward(Float64Array.from([...state, ...embedded(beta)]), 1);
    const { value, gradient } = head.expected(pass.values.at(-1)!, critics.judge(state), random);
    const inputs = net.backward(pass, gradient);
    const slopes = embeddedSlope(beta);
    return { value, slope: slopes.reduce((sum, x, i) => sum + x * inputs[state.length + i]!, 0) };
  }

  /** One update of the balance model. */
  balance({ states, rows }: Batch, critics: Critics, random: Random): void {
    const [low, high] = this.#range;
    const alpha = Math.exp(this.#logAlpha.values[0]!);
    const pass = this.#balance.net.forward(states, rows);
    const all = pass.values.at(-1)!;
    const slopes = new Float64Array(all.length);
    let entropy = 0;
    for (let row = 0; row < rows; row++) {
      const out = all.subarray(2 * row, 2 * row + 2);
      const state = states.subarray(row * this.#world.width, (row + 1) * this.#world.width);
      const judge = (ts: Float64Array) => {
        const t = Math.min(1 - 1e-6, Math.max(1e-6 - 1, ts[0]!));
        const { value, slope } = this.worth(state, this.#beta(t), critics, random);
        const room = Math.log(1 - t * t);
        entropy += room / rows;
        const gradient = (slope * (high - low)) / 2 - (alpha * 2 * t) / (1 - t * t);
        return { values: Float64Array.of(value + alpha * room), gradients: Float64Array.of(gradient) };
      };
      const own = BALANCE.expected(out, judge, random).gradient;
      BALANCE.addEntropyGradient(out, alpha, own);
      entropy += BALANCE.entropy(out) / rows;
      slopes.set(own, 2 * row);
    }
    this.#balance.descend(
      pass,
      slopes.map((x) => -x / rows),
    );
    this.#logAlpha.against(Float64Array.of(entropy - TARGET_ENTROPY));
  }

  actor(): Actor {
    const { head } = this.policy;
    return (state, random) => {
      const out = this.policy.out(state, embedded(this.chosen(state, random)));
      return random ? head.sample(out, random) : head.mode(out);
    };
  }

  tensors(): NamedTensor[] {
    return [...this.policy.net.tensors("policy"), ...this.#balance.net.tensors("balance")];
  }

  state(): Numbers {
    return this.#kept.state();
  }

  load(numbers: Numbers): void {
    this.#kept.load(numbers);
  }
}
