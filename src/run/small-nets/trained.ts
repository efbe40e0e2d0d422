/**
 * Small networks with what trains them, Adam, and what keeps them able to learn:
 *
 *   decay   w <- w + decay (w_0 - w) after each update, w_0 the first weights
 *   reset   every so many updates the last layers are drawn anew, and Adam forgets them
 *   norm    layer norm in hidden layers (mlp.ts)
 *
 * Kumar et al., Maintaining Plasticity in Continual Learning via Regenerative Regularization, 2023,
 * https://arxiv.org/abs/2308.11958; Nikishin et al., The Primacy Bias in Deep Reinforcement Learning, ICML 2022,
 * https://arxiv.org/abs/2205.07802
 */
import { Random } from "../../data/random.ts";
import type { Options, Values } from "../../method/options.ts";
import { adam } from "../../tensor/descent.ts";
import { type Kept, keptTogether, type Numbers, numbersOf } from "./kept.ts";
import { Mlp, type Pass } from "./mlp.ts";

export const CARE = {
  layer_norm: { type: "boolean", default: false, help: "layer norm in hidden layers" },
  decay_to_init: {
    type: "0 <= number < 1",
    default: 0,
    help: "share of the way back to its first value that each weight goes in an update",
    value: "F",
  },
  reset_every: {
    type: "number.integer >= 0",
    default: 0,
    help: "updates of a network between two resets of its last layers; 0: none",
    value: "N",
  },
  reset_layers: {
    type: "number.integer >= 1",
    default: 1,
    needs: "reset_every",
    help: "how many of the last layers are reset",
    value: "K",
  },
} as const satisfies Options;

export type Care = Partial<Values<typeof CARE>>;

/** A few numbers that Adam moves. */
export class Moved implements Kept {
  readonly values: Float64Array;
  readonly #lr: number;
  #descent: ReturnType<typeof adam>;

  constructor(values: Float64Array, lr: number) {
    this.values = values;
    this.#lr = lr;
    this.#descent = adam(lr);
  }

  /** One step against the gradient. */
  against(gradient: Float64Array): void {
    this.#descent.step(this.values, gradient);
  }

  /** Adam begins anew. */
  forget(): void {
    this.#descent = adam(this.#lr);
  }

  state(): Numbers {
    const { steps, means, squares } = this.#descent.state();
    const own = { values: this.values.slice(), steps: Float64Array.of(steps) };
    return steps === 0 ? own : { ...own, means, squares };
  }

  load(numbers: Numbers): void {
    const count = this.values.length;
    const steps = numbersOf(numbers, "steps", 1)[0]!;
    this.values.set(numbersOf(numbers, "values", count));
    this.forget();
    if (steps === 0) return;
    this.#descent.load({
      steps,
      means: numbersOf(numbers, "means", count),
      squares: numbersOf(numbers, "squares", count),
    });
  }
}

export interface NetOptions {
  /** Inputs, units of each hidden layer, outputs. */
  readonly sizes: readonly number[];
  readonly lr: number;
  readonly care?: Care;
  /** Scale of the last layer's first weights; 1 when left out. */
  readonly last?: number;
}

export class Trained implements Kept {
  readonly net: Mlp;
  readonly #options: NetOptions;
  readonly #key: readonly (string | number)[];
  readonly #first: Float64Array;
  /** Where the last layers begin, which resets draw anew. */
  readonly #tail: number;
  readonly #body: Moved;
  readonly #rest: Moved;
  readonly #kept: Kept;
  #updates = 0;

  /** `key` chooses the first weights, and those of resets. */
  constructor(options: NetOptions, ...key: readonly (string | number)[]) {
    this.#options = options;
    this.#key = key;
    const { lr, care = {} } = options;
    this.net = this.#drawn();
    const { weights } = this.net;
    this.#first = weights.slice();
    this.#tail = care.reset_every ? this.net.tail(care.reset_layers ?? 1) : weights.length;
    this.#body = new Moved(weights.subarray(0, this.#tail), lr);
    this.#rest = new Moved(weights.subarray(this.#tail), lr);
    this.#kept = keptTogether({ body: this.#body, rest: this.#rest });
  }

  #drawn(...more: readonly (string | number)[]): Mlp {
    const { sizes, last, care } = this.#options;
    return Mlp.fresh(sizes, new Random(...this.#key, ...more), last, { norm: care?.layer_norm ?? false });
  }

  /**
   * One step against the gradient, which is `slopes` by the outputs of a pass, (rows, outputs). True where the last
   * layers were drawn anew behind it.
   */
  descend(pass: Pass, slopes: Float64Array): boolean {
    const { net } = this;
    const { decay_to_init: decay = 0, reset_every: every = 0 } = this.#options.care ?? {};
    const into = new Float64Array(net.weights.length);
    net.backward(pass, slopes, into);
    this.#body.against(into.subarray(0, this.#tail));
    if (this.#tail < into.length) this.#rest.against(into.subarray(this.#tail));
    if (decay > 0) for (const [i, first] of this.#first.entries()) net.weights[i]! += decay * (first - net.weights[i]!);
    this.#updates++;
    if (every === 0 || this.#updates % every !== 0) return false;
    net.weights.set(this.#drawn("reset", this.#updates).weights.subarray(this.#tail), this.#tail);
    this.#rest.forget();
    return true;
  }

  /** Gives another network like it the weights that resets draw anew. */
  passTail({ weights }: Mlp): void {
    weights.set(this.net.weights.subarray(this.#tail), this.#tail);
  }

  state(): Numbers {
    return { ...this.#kept.state(), updates: Float64Array.of(this.#updates) };
  }

  load(numbers: Numbers): void {
    this.#kept.load(numbers);
    this.#updates = numbersOf(numbers, "updates", 1)[0]!;
  }
}
