/**
 * Small multilayer perceptrons on the host in f64, with gradients to weights and inputs: for policies and critics of
 * worlds whose states are a few numbers, where a GPU would only wait. ReLU between layers, none after the last.
 *
 * With `norm` the units of a hidden layer are normalised before they rest or act: relu(gain (x - mean) / deviation +
 * bias), x = W read. Ba, Kiros and Hinton, Layer Normalization, 2016, https://arxiv.org/abs/1607.06450
 */
import { isDeepStrictEqual } from "node:util";
import type { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";

/** What a forward pass leaves for the way back. */
export interface Pass {
  readonly rows: number;
  /** Of each layer what it reads, (rows, inputs); the last one is the output. */
  readonly values: readonly Float64Array[];
  /** Of each layer that normalises: its units, normalised (rows, outputs), and 1 / deviation of each row. */
  readonly norms: readonly ({ readonly units: Float64Array; readonly scales: Float64Array } | undefined)[];
}

/** A tensor for a file. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export interface NetForm {
  /** Layer norm in hidden layers. */
  readonly norm?: boolean;
}

/** Added to variances of units. */
const EPSILON = 1e-5;

/** Where a layer's weights are. */
interface Layer {
  readonly layer: number;
  readonly at: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly isLast: boolean;
  /** Whether it normalises; its gains are behind its bias. */
  readonly isNormed: boolean;
}

export class Mlp {
  /** Inputs, units of each hidden layer, outputs. */
  readonly sizes: readonly number[];
  readonly norm: boolean;
  /** Of each layer the matrix (out, in), the bias (out), and where it normalises the gain (out). */
  readonly weights: Float64Array;

  constructor(sizes: readonly number[], weights: Float64Array, { norm = false }: NetForm = {}) {
    this.sizes = sizes;
    this.norm = norm;
    this.weights = weights;
  }

  /** Matrices N(0, 2 / in), the last one times `last`; biases 0, gains 1. */
  static fresh(sizes: readonly number[], random: Random, last = 1, form: NetForm = {}): Mlp {
    const hidden = form.norm ? sizes.slice(1, -1).reduce((sum, units) => sum + units, 0) : 0;
    const count = sizes.slice(1).reduce((sum, out, i) => sum + out * (sizes[i]! + 1), hidden);
    const made = new Mlp(sizes, new Float64Array(count), form);
    for (const { at, inputs, outputs, isLast, isNormed } of made.#layers()) {
      const deviation = Math.sqrt(2 / inputs) * (isLast ? last : 1);
      for (let i = 0; i < inputs * outputs; i++) made.weights[at + i] = deviation * random.normal();
      if (isNormed) made.weights.fill(1, at + (inputs + 1) * outputs, at + (inputs + 2) * outputs);
    }
    return made;
  }

  *#layers(): Generator<Layer> {
    let at = 0;
    for (let layer = 0; layer + 1 < this.sizes.length; layer++) {
      const [inputs, outputs] = [this.sizes[layer]!, this.sizes[layer + 1]!];
      const isLast = layer + 2 === this.sizes.length;
      const isNormed = this.norm && !isLast;
      yield { layer, at, inputs, outputs, isLast, isNormed };
      at += outputs * (inputs + (isNormed ? 2 : 1));
    }
  }

  /** Where the weights of the last `count` layers begin. */
  tail(count: number): number {
    return [...this.#layers()].at(-Math.min(count, this.sizes.length - 1))?.at ?? this.weights.length;
  }

  /** x is (rows, inputs). */
  forward(x: Float64Array, rows: number): Pass {
    const values = [x];
    const norms: Pass["norms"][number][] = [];
    const { weights } = this;
    for (const { at, inputs, outputs, isLast, isNormed } of this.#layers()) {
      const read = values.at(-1)!;
      const bias = at + inputs * outputs;
      const made = new Float64Array(rows * outputs);
      for (let row = 0; row < rows; row++)
        for (let out = 0; out < outputs; out++) {
          let sum = isNormed ? 0 : weights[bias + out]!;
          const [from, line] = [row * inputs, at + out * inputs];
          for (let i = 0; i < inputs; i++) sum += weights[line + i]! * read[from + i]!;
          made[row * outputs + out] = isLast || isNormed ? sum : Math.max(0, sum);
        }
      const normed = isNormed ? normalised(made, rows, outputs) : undefined;
      if (normed)
        for (const [i, unit] of normed.units.entries()) {
          const out = i % outputs;
          made[i] = Math.max(0, weights[bias + outputs + out]! * unit + weights[bias + out]!);
        }
      norms.push(normed);
      values.push(made);
    }
    return { rows, values, norms };
  }

  /** The output for x, (rows, outputs). */
  output(x: Float64Array, rows: number): Float64Array {
    return this.forward(x, rows).values.at(-1)!;
  }

  /**
   * Adds the gradient of the weights to `into`, where there is one, for `gradient` of the output, (rows, outputs), and
   * gives that of the input.
   */
  backward({ rows, values, norms }: Pass, gradient: Float64Array, into?: Float64Array): Float64Array {
    const { weights } = this;
    let above = gradient;
    for (const { layer, at, inputs, outputs, isNormed } of [...this.#layers()].reverse()) {
      const read = values[layer]!;
      const bias = at + inputs * outputs;
      if (into) for (const [i, g] of above.entries()) into[bias + (i % outputs)]! += g;
      if (isNormed) above = this.#throughNorm(above, norms[layer]!, { rows, outputs, gain: bias + outputs }, into);
      const below = new Float64Array(rows * inputs);
      for (let row = 0; row < rows; row++)
        for (let out = 0; out < outputs; out++) {
          const g = above[row * outputs + out]!;
          if (g === 0) continue;
          const [from, line] = [row * inputs, at + out * inputs];
          if (into) for (let i = 0; i < inputs; i++) into[line + i]! += g * read[from + i]!;
          for (let i = 0; i < inputs; i++) below[from + i]! += g * weights[line + i]!;
        }
      // What a hidden layer made is what the next one reads: 0 where ReLU was at rest.
      if (layer > 0) for (let i = 0; i < below.length; i++) if (read[i] === 0) below[i] = 0;
      above = below;
    }
    return above;
  }

  /** The gradient before the norm, for that behind it; adds the gradient of the gains. */
  #throughNorm(
    above: Float64Array,
    { units, scales }: NonNullable<Pass["norms"][number]>,
    { rows, outputs, gain }: { readonly rows: number; readonly outputs: number; readonly gain: number },
    into?: Float64Array,
  ): Float64Array {
    const before = new Float64Array(above.length);
    for (let row = 0; row < rows; row++) {
      const from = row * outputs;
      let [mean, along] = [0, 0];
      for (let out = 0; out < outputs; out++) {
        const g = above[from + out]!;
        if (into) into[gain + out]! += g * units[from + out]!;
        before[from + out] = g * this.weights[gain + out]!;
        mean += before[from + out]! / outputs;
        along += (before[from + out]! * units[from + out]!) / outputs;
      }
      for (let out = 0; out < outputs; out++)
        before[from + out] = scales[row]! * (before[from + out]! - mean - units[from + out]! * along);
    }
    return before;
  }

  /** Another network with the same weights. */
  copy(): Mlp {
    return new Mlp(this.sizes, this.weights.slice(), this);
  }

  /** Matrices, biases and gains, for a file: copies. */
  tensors(prefix: string): NamedTensor[] {
    return this.#views(prefix).map(({ name, shape, values }) => ({ name, shape, values: values.slice() }));
  }

  /** Takes the weights of tensors that a network like this one left. Throws UserError where it was unlike. */
  fill(prefix: string, from: ReadonlyMap<string, NamedTensor>, what: string): void {
    const views = this.#views(prefix);
    const own = new Set(views.map(({ name }) => name));
    const hint = "give the options of networks that it was made with; bun run inspect shows them";
    const odd = [...from.keys()].find((name) => name.startsWith(`${prefix}.`) && !own.has(name));
    if (odd !== undefined) throw new UserError(`${what} has ${odd}, which this network has not`, hint);
    for (const { name, shape, values } of views) {
      const found = from.get(name);
      if (!found || !isDeepStrictEqual(found.shape, shape))
        throw new UserError(
          `${what}: ${name} is ${found ? `(${found.shape.join(", ")})` : "missing"}, and (${shape.join(", ")}) here`,
          hint,
        );
      values.set(found.values);
    }
  }

  #views(prefix: string): NamedTensor[] {
    return [...this.#layers()].flatMap(({ layer, at, inputs, outputs, isNormed }) => {
      const bias = at + inputs * outputs;
      const part = (name: string, from: number, shape: readonly number[]) => ({
        name: `${prefix}.${layer}.${name}`,
        shape,
        values: this.weights.subarray(from, from + shape.reduce((size, n) => size * n, 1)),
      });
      return [
        part("weight", at, [outputs, inputs]),
        part("bias", bias, [outputs]),
        ...(isNormed ? [part("gain", bias + outputs, [outputs])] : []),
      ];
    });
  }
}

/** Rows less their mean, over their deviation. */
function normalised(made: Float64Array, rows: number, outputs: number): NonNullable<Pass["norms"][number]> {
  const units = new Float64Array(made.length);
  const scales = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const own = made.subarray(row * outputs, (row + 1) * outputs);
    const mean = own.reduce((sum, x) => sum + x, 0) / outputs;
    const variance = own.reduce((sum, x) => sum + (x - mean) ** 2, 0) / outputs;
    scales[row] = 1 / Math.sqrt(variance + EPSILON);
    for (const [out, x] of own.entries()) units[row * outputs + out] = (x - mean) * scales[row]!;
  }
  return { units, scales };
}

/** The share of hidden units of a pass that are above 0, over all hidden layers and rows; NaN without hidden layers. */
export function activeShare({ values }: Pass): number {
  const hidden = values.slice(1, -1);
  const count = hidden.reduce((sum, { length }) => sum + length, 0);
  const active = hidden.reduce((sum, layer) => sum + layer.reduce((own, x) => own + Number(x > 0), 0), 0);
  return active / count;
}
