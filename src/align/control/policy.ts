/** A policy in training: a network, what its outputs mean, and Adam. */
import { Random } from "../../data/random.ts";
import type { State, World } from "../../data/worlds/world.ts";
import type { Head } from "../../run/small-nets/head.ts";
import { headOf } from "../../run/small-nets/head-of.ts";
import { Mlp, type Pass } from "../../run/small-nets/mlp.ts";
import { adam } from "../../tensor/descent.ts";
import type { Actor, Training } from "./contract.ts";

/** Adds to `into` the gradient by the outputs `out` of a row of what is to grow. */
export type RowGradient = (row: number, out: Float64Array, into: Float64Array) => void;

export class Policy {
  readonly head: Head;
  readonly net: Mlp;
  readonly #world: World;
  readonly #descent: ReturnType<typeof adam>;

  /** `extra` inputs besides the observation; `name` chooses the first weights. */
  constructor(world: World, { hidden, lr }: Pick<Training, "hidden" | "lr">, seed: number, name = "policy", extra = 0) {
    this.head = headOf(world.actions);
    this.net = Mlp.fresh([world.width + extra, ...hidden, this.head.outputs], new Random(seed, name), 0.1);
    this.#world = world;
    this.#descent = adam(lr);
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
    const into = new Float64Array(this.net.weights.length);
    this.net.backward(
      pass,
      slopes.map((x) => -x / rows),
      into,
    );
    this.#descent.step(this.net.weights, into);
  }

  /** Outputs for a state, and what stands beside it. */
  out(state: State, extra: readonly number[] = []): Float64Array {
    return this.net.output(Float64Array.from([...this.#world.observe(state), ...extra]), 1);
  }

  /** Acts by the weights as they are when it acts. */
  actor(): Actor {
    return (state, random) => (random ? this.head.sample(this.out(state), random) : this.head.mode(this.out(state)));
  }
}
