/** A policy in training: a network with Adam, and what its outputs mean. */
import type { Random } from "../../data/random.ts";
import type { Action, State, World } from "../../data/worlds/world.ts";
import type { Head } from "../../run/small-nets/head.ts";
import { headOf } from "../../run/small-nets/head-of.ts";
import type { Kept, Numbers } from "../../run/small-nets/kept.ts";
import type { Mlp, Pass } from "../../run/small-nets/mlp.ts";
import { type Care, Trained } from "../../run/small-nets/trained.ts";
import type { Actor, Training } from "./contract.ts";

/** Adds to `into` the gradient by the outputs `out` of a row of what is to grow. */
export type RowGradient = (row: number, out: Float64Array, into: Float64Array) => void;

export class Policy implements Kept {
  readonly head: Head;
  readonly net: Mlp;
  readonly #world: World;
  readonly #trained: Trained;

  private constructor(world: World, trained: Trained) {
    this.head = headOf(world.actions);
    this.net = trained.net;
    this.#world = world;
    this.#trained = trained;
  }

  /** `extra` inputs besides the observation; `name` chooses the first weights. */
  static fresh(
    world: World,
    { hidden, lr, ...care }: Pick<Training, "hidden" | "lr"> & Care,
    seed: number,
    name = "policy",
    extra = 0,
  ): Policy {
    const sizes = [world.width + extra, ...hidden, headOf(world.actions).outputs];
    return new Policy(world, new Trained({ sizes, lr, care, last: 0.1 }, seed, name));
  }

  /** An action drawn for each row. */
  drawn(states: Float64Array, rows: number, random: Random): Action[] {
    return Array.from(this.outs(this.net.forward(states, rows)), ([, out]) => this.head.sample(out, random));
  }

  /** Log-probabilities of an action in each row. */
  logs(states: Float64Array, actions: readonly Action[]): Float64Array {
    const outs = this.outs(this.net.forward(states, actions.length));
    return Float64Array.from(outs, ([row, out]) => this.head.logProbability(out, actions[row]!));
  }

  /** Outputs of a pass, row by row. */
  *outs({ rows, values }: Pass): Generator<[row: number, out: Float64Array]> {
    const all = values.at(-1)!;
    const width = this.head.outputs;
    for (let row = 0; row < rows; row++) yield [row, all.subarray(row * width, (row + 1) * width)];
  }

  /**
   * One step of Adam that raises the mean over rows of what `gradient` is the gradient of. Inputs are (rows, inputs).
   */
  raise(inputs: Float64Array, rows: number, gradient: RowGradient): void {
    const pass = this.net.forward(inputs, rows);
    const slopes = new Float64Array(rows * this.head.outputs);
    for (const [row, out] of this.outs(pass))
      gradient(row, out, slopes.subarray(row * out.length, (row + 1) * out.length));
    this.#trained.descend(
      pass,
      slopes.map((x) => -x / rows),
    );
  }

  /** Outputs for a state, and what stands beside it. */
  out(state: State, extra: readonly number[] = []): Float64Array {
    return this.net.output(Float64Array.from([...this.#world.observe(state), ...extra]), 1);
  }

  /** Acts by the weights as they are when it acts. */
  actor(): Actor {
    return (state, random) => (random ? this.head.sample(this.out(state), random) : this.head.mode(this.out(state)));
  }

  state(): Numbers {
    return this.#trained.state();
  }

  load(numbers: Numbers): void {
    this.#trained.load(numbers);
  }
}
