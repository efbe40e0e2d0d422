/**
 * Small multilayer perceptrons on the host in f64, with gradients to weights and inputs: for policies and critics of
 * worlds whose states are a few numbers, where a GPU would only wait. ReLU between layers, none after the last.
 */
import { isDeepStrictEqual } from "node:util";
import type { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";

/** What a forward pass leaves for the way back. */
export interface Pass {
  readonly rows: number;
  /** Of each layer what it reads, (rows, inputs); the last one is the output. */
  readonly values: readonly Float64Array[];
}

/** A tensor for a file. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export class Mlp {
  /** Inputs, units of each hidden layer, outputs. */
  readonly sizes: readonly number[];
  /** Of each layer the matrix (out, in), then the bias (out). */
  readonly weights: Float64Array;

  constructor(sizes: readonly number[], weights: Float64Array) {
    this.sizes = sizes;
    this.weights = weights;
  }

  /** Matrices N(0, 2 / in), the last one times `last`; biases 0. */
  static fresh(sizes: readonly number[], random: Random, last = 1): Mlp {
    const count = sizes.slice(1).reduce((sum, out, i) => sum + out * (sizes[i]! + 1), 0);
    const made = new Mlp(sizes, new Float64Array(count));
    for (const { at, inputs, outputs, isLast } of made.#layers()) {
      const deviation = Math.sqrt(2 / inputs) * (isLast ? last : 1);
      for (let i = 0; i < inputs * outputs; i++) made.weights[at + i] = deviation * random.normal();
    }
    return made;
  }

  *#layers() {
    let at = 0;
    for (let layer = 0; layer + 1 < this.sizes.length; layer++) {
      const [inputs, outputs] = [this.sizes[layer]!, this.sizes[layer + 1]!];
      yield { layer, at, inputs, outputs, isLast: layer + 2 === this.sizes.length };
      at += outputs * (inputs + 1);
    }
  }

  /** x is (rows, inputs). */
  forward(x: Float64Array, rows: number): Pass {
    const values = [x];
    const { weights } = this;
    for (const { at, inputs, outputs, isLast } of this.#layers()) {
      const read = values.at(-1)!;
      const made = new Float64Array(rows * outputs);
      for (let row = 0; row < rows; row++)
        for (let out = 0; out < outputs; out++) {
          let sum = weights[at + inputs * outputs + out]!;
          const [from, line] = [row * inputs, at + out * inputs];
          for (let i = 0; i < inputs; i++) sum += weights[line + i]! * read[from + i]!;
          made[row * outputs + out] = isLast ? sum : Math.max(0, sum);
        }
      values.push(made);
    }
    return { rows, values };
  }

  /** The output for x, (rows, outputs). */
  output(x: Float64Array, rows: number): Float64Array {
    return this.forward(x, rows).values.at(-1)!;
  }

  /**
   * Adds the gradient of the weights to `into`, where there is one, for `gradient` of the output, (rows, outputs), and
   * gives that of the input.
   */
  backward({ rows, values }: Pass, gradient: Float64Array, into?: Float64Array): Float64Array {
    const { weights } = this;
    let above = gradient;
    for (const { layer, at, inputs, outputs } of [...this.#layers()].reverse()) {
      const read = values[layer]!;
      const below = new Float64Array(rows * inputs);
      for (let row = 0; row < rows; row++)
        for (let out = 0; out < outputs; out++) {
          const g = above[row * outputs + out]!;
          if (g === 0) continue;
          const [from, line] = [row * inputs, at + out * inputs];
          if (into) {
            into[at + inputs * outputs + out]! += g;
            for (let i = 0; i < inputs; i++) into[line + i]! += g * read[from + i]!;
          }
          for (let i = 0; i < inputs; i++) below[from + i]! += g * weights[line + i]!;
        }
      // What a hidden layer made is what the next one reads: 0 where ReLU was at rest.
      if (layer > 0) for (let i = 0; i < below.length; i++) if (read[i] === 0) below[i] = 0;
      above = below;
    }
    return above;
  }

  /** Another network with the same weights. */
  copy(): Mlp {
    return new Mlp(this.sizes, this.weights.slice());
  }

  /** Matrices and biases, for a file: copies. */
  tensors(prefix: string): NamedTensor[] {
    return this.#views(prefix).map(({ name, shape, values }) => ({ name, shape, values: values.slice() }));
  }

  /** Takes the weights of tensors that a network like this one left. Throws UserError where one is not like this. */
  fill(prefix: string, from: ReadonlyMap<string, NamedTensor>, what: string): void {
    for (const { name, shape, values } of this.#views(prefix)) {
      const found = from.get(name);
      if (!found || !isDeepStrictEqual(found.shape, shape))
        throw new UserError(
          `${what}: ${name} is ${found ? `(${found.shape.join(", ")})` : "missing"}, and (${shape.join(", ")}) here`,
          "give the options of networks that it was made with; bun run inspect shows them",
        );
      values.set(found.values);
    }
  }

  #views(prefix: string): NamedTensor[] {
    return [...this.#layers()].flatMap(({ layer, at, inputs, outputs }) => [
      {
        name: `${prefix}.${layer}.weight`,
        shape: [outputs, inputs],
        values: this.weights.subarray(at, at + inputs * outputs),
      },
      {
        name: `${prefix}.${layer}.bias`,
        shape: [outputs],
        values: this.weights.subarray(at + inputs * outputs, at + (inputs + 1) * outputs),
      },
    ]);
  }
}

/** The share of hidden units of a pass that are above 0, over all hidden layers and rows; NaN without hidden layers. */
export function activeShare({ values }: Pass): number {
  const hidden = values.slice(1, -1);
  const count = hidden.reduce((sum, { length }) => sum + length, 0);
  const active = hidden.reduce((sum, layer) => sum + layer.reduce((own, x) => own + Number(x > 0), 0), 0);
  return active / count;
}
