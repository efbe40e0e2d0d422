/**
 * Critics of logged steps by implicit Q-learning: two Q and one V, none of which looks at actions that are not in the
 * rows.
 *
 *   V: |tau - 1(u < 0)| u^2,  u = min_i target_i(s, a) - V(s);   Q_i: (r + discount V(s') - Q_i(s, a))^2
 *   target_i <- target_i + rate (Q_i - target_i)
 *
 * Kostrikov et al., Offline Reinforcement Learning with Implicit Q-Learning, ICLR 2022,
 * https://arxiv.org/abs/2110.06169
 */
import type { Judge } from "../../run/small-nets/head.ts";
import { type Kept, keptTogether, type Numbers } from "../../run/small-nets/kept.ts";
import { activeShare, type Mlp, type NamedTensor } from "../../run/small-nets/mlp.ts";
import { type Care, Moved, Trained } from "../../run/small-nets/trained.ts";
import type { Networks } from "./networks.ts";
import type { Batch } from "./transitions.ts";

export interface CriticOptions {
  /** Values of an observation, and of an encoded action. */
  readonly width: number;
  readonly actionWidth: number;
  readonly hidden: readonly number[];
  readonly lr: number;
  readonly discount: number;
  /** tau */
  readonly expectile: number;
  /** Share by which targets follow in an update. */
  readonly follow: number;
  readonly care?: Care;
}

/** Rows of `a` and `b` side by side. */
export function beside(a: Float64Array, b: Float64Array, rows: number): Float64Array {
  const [m, n] = [a.length / rows, b.length / rows];
  const both = new Float64Array(a.length + b.length);
  for (let row = 0; row < rows; row++) {
    both.set(a.subarray(row * m, (row + 1) * m), row * (m + n));
    both.set(b.subarray(row * n, (row + 1) * n), row * (m + n) + m);
  }
  return both;
}

export class Critics implements Kept {
  readonly #options: CriticOptions;
  readonly #q: readonly { trained: Trained; target: Mlp }[];
  readonly #v: Trained;
  readonly #kept: Kept;

  constructor(options: CriticOptions, seed: number) {
    const { width, actionWidth, hidden, lr, care = {} } = options;
    this.#options = options;
    this.#q = [0, 1].map((i) => {
      const trained = new Trained({ sizes: [width + actionWidth, ...hidden, 1], lr, care }, seed, "critic", i);
      return { trained, target: trained.net.copy() };
    });
    this.#v = new Trained({ sizes: [width, ...hidden, 1], lr, care }, seed, "value");
    const parts = this.#q.flatMap(({ trained, target }, i): [string, Kept][] => [
      [`q${i}`, trained],
      [`target${i}`, new Moved(target.weights, 0)],
    ]);
    this.#kept = keptTogether(Object.fromEntries([...parts, ["v", this.#v]]));
  }

  /** Begins with those of an earlier run; targets with what they follow. Throws UserError where they do not fit. */
  fill(from: Networks): void {
    for (const [i, { trained, target }] of this.#q.entries()) {
      from.fill(trained.net, `q${i}`);
      target.weights.set(trained.net.weights);
    }
    from.fill(this.#v.net, "v");
  }

  /** min_i target_i(s, a) */
  q(states: Float64Array, encoded: Float64Array, rows: number): Float64Array {
    const [a, b] = this.#q.map(({ target }) => target.output(beside(states, encoded, rows), rows));
    return a!.map((x, i) => Math.min(x, b![i]!));
  }

  v(states: Float64Array, rows: number): Float64Array {
    return this.#v.net.output(states, rows);
  }

  /** Q(s, a) - V(s) */
  advantages({ states, encoded, rows }: Batch): Float64Array {
    const values = this.v(states, rows);
    return this.q(states, encoded, rows).map((q, i) => q - values[i]!);
  }

  /** r + discount V(s') - V(s): what this one step brought. */
  sampledAdvantages({ states, nexts, rewards, ends, rows }: Batch): Float64Array {
    const [here, there] = [this.v(states, rows), this.v(nexts, rows)];
    return rewards.map((r, i) => r + this.#options.discount * (1 - ends[i]!) * there[i]! - here[i]!);
  }

  update({ states, nexts, encoded, rewards, ends, rows }: Batch): void {
    const { expectile, discount, follow } = this.#options;
    const best = this.q(states, encoded, rows);
    const there = this.v(nexts, rows);
    const pass = this.#v.net.forward(states, rows);
    const slopes = pass.values.at(-1)!.map((v, i) => {
      const u = best[i]! - v;
      return (-2 * (u < 0 ? 1 - expectile : expectile) * u) / rows;
    });
    this.#v.descend(pass, slopes);
    const both = beside(states, encoded, rows);
    for (const { trained, target } of this.#q) {
      const own = trained.net.forward(both, rows);
      const errors = own.values.at(-1)!.map((q, i) => {
        return (2 * (q - rewards[i]! - discount * (1 - ends[i]!) * there[i]!)) / rows;
      });
      if (trained.descend(own, errors)) trained.passTail(target);
      for (const [i, x] of trained.net.weights.entries()) target.weights[i]! += follow * (x - target.weights[i]!);
    }
  }

  /** One update of V alone, by its squared error. */
  fitValue(states: Float64Array, targets: Float64Array, rows: number): void {
    const pass = this.#v.net.forward(states, rows);
    this.#v.descend(
      pass,
      pass.values.at(-1)!.map((v, i) => (2 * (v - targets[i]!)) / rows),
    );
  }

  /** min_i target_i of one state, for actions, with gradients by them. */
  judge(state: Float64Array): Judge {
    return (actions, count) => {
      const width = actions.length / count;
      const all = new Float64Array(count * state.length);
      for (let i = 0; i < count; i++) all.set(state, i * state.length);
      const both = beside(all, actions, count);
      const passes = this.#q.map(({ target }) => ({ target, pass: target.forward(both, count) }));
      const [a, b] = passes.map(({ pass }) => pass.values.at(-1)!);
      const gradients = new Float64Array(actions.length);
      for (const [which, { target, pass }] of passes.entries()) {
        const chosen = a!.map((x, i) => Number((which === 0) === x <= b![i]!));
        const inputs = target.backward(pass, chosen);
        for (let i = 0; i < count; i++)
          for (let j = 0; j < width; j++)
            gradients[i * width + j]! += inputs[i * (state.length + width) + state.length + j]!;
      }
      return { values: a!.map((x, i) => Math.min(x, b![i]!)), gradients };
    };
  }

  /** The share of active hidden units of V on these states. */
  active(states: Float64Array, rows: number): number {
    return activeShare(this.#v.net.forward(states, rows));
  }

  tensors(): NamedTensor[] {
    return [...this.#q.flatMap(({ trained }, i) => trained.net.tensors(`q${i}`)), ...this.#v.net.tensors("v")];
  }

  state(): Numbers {
    return this.#kept.state();
  }

  load(numbers: Numbers): void {
    this.#kept.load(numbers);
  }
}
