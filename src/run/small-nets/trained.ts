/** Small networks with what trains them: Adam, whose moments go where the weights go. */
import { adam } from "../../tensor/descent.ts";
import { type Kept, type Numbers, numbersOf } from "./kept.ts";
import type { Mlp, Pass } from "./mlp.ts";

/** A few numbers that Adam moves. */
export class Moved implements Kept {
  readonly values: Float64Array;
  readonly #descent: ReturnType<typeof adam>;

  constructor(values: Float64Array, lr: number) {
    this.values = values;
    this.#descent = adam(lr);
  }

  /** One step against the gradient. */
  against(gradient: Float64Array): void {
    this.#descent.step(this.values, gradient);
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
    if (steps === 0) return;
    this.#descent.load({
      steps,
      means: numbersOf(numbers, "means", count),
      squares: numbersOf(numbers, "squares", count),
    });
  }
}

export class Trained implements Kept {
  readonly net: Mlp;
  readonly #moved: Moved;

  constructor(net: Mlp, lr: number) {
    this.net = net;
    this.#moved = new Moved(net.weights, lr);
  }

  /** One step against the gradient, which is `slopes` by the outputs of a pass, (rows, outputs). */
  descend(pass: Pass, slopes: Float64Array): void {
    const into = new Float64Array(this.net.weights.length);
    this.net.backward(pass, slopes, into);
    this.#moved.against(into);
  }

  state(): Numbers {
    return this.#moved.state();
  }

  load(numbers: Numbers): void {
    this.#moved.load(numbers);
  }
}
