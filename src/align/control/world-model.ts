/**
 * A learnt model of a world, as networks see it, and what a policy is expected to bring in it: the gate of offline
 * updates.
 *
 *   o' = o + f(o, a), by the squared error;   J(pi) = mean over starts of sum_(h < H) Q(o_h, a_h),  a_h ~ pi(o_h)
 *
 * Starts are logged states. Draws are keyed by seed and place, so that two policies meet the same chances. Lei et al.,
 * Uni-O4, ICLR 2024, https://arxiv.org/abs/2311.03351
 */
import { Random } from "../../data/random.ts";
import type { Kept, Numbers } from "../../run/small-nets/kept.ts";
import { Trained } from "../../run/small-nets/trained.ts";
import type { Training } from "./contract.ts";
import { beside, type Critics } from "./critics.ts";
import type { Policy } from "./policy.ts";
import type { Batch } from "./transitions.ts";

export class WorldModel implements Kept {
  readonly #trained: Trained;

  constructor(width: number, actionWidth: number, { hidden, lr }: Training, seed: number) {
    this.#trained = new Trained({ sizes: [width + actionWidth, ...hidden, width], lr, last: 0.1 }, seed, "world model");
  }

  /** One update; gives the mean squared error before it. */
  update({ states, nexts, encoded, rows }: Batch): number {
    const pass = this.#trained.net.forward(beside(states, encoded, rows), rows);
    const errors = pass.values.at(-1)!.map((moved, i) => states[i]! + moved - nexts[i]!);
    this.#trained.descend(
      pass,
      errors.map((x) => (2 * x) / rows),
    );
    return errors.reduce((sum, x) => sum + x * x, 0) / errors.length;
  }

  next(states: Float64Array, encoded: Float64Array, rows: number): Float64Array {
    const moves = this.#trained.net.output(beside(states, encoded, rows), rows);
    return moves.map((moved, i) => states[i]! + moved);
  }

  /** J of a policy from these states. */
  expected(policy: Policy, critics: Critics, starts: Float64Array, rows: number, steps: number, seed: number): number {
    let [states, total] = [starts, 0];
    for (let step = 0; step < steps; step++) {
      const random = new Random(seed, "gate", step);
      const actions = policy.drawn(states, rows, random);
      const encoded = Float64Array.from(actions.flatMap((action) => policy.head.encode(action)));
      total += critics.q(states, encoded, rows).reduce((sum, q) => sum + q, 0) / rows;
      if (step + 1 < steps) states = this.next(states, encoded, rows);
    }
    return total;
  }

  state(): Numbers {
    return this.#trained.state();
  }

  load(numbers: Numbers): void {
    this.#trained.load(numbers);
  }
}
