/** A layer of tanh units with a linear path beside it, V tanh(W x + b) + U x + c, and its gradient, in f64. */
import type { Random } from "../../data/random.ts";

export interface PerceptronPass {
  /** (m, inputs). */
  readonly inputs: Float64Array;
  /** (m, width), after tanh. */
  readonly hidden: Float64Array;
  /** (m, outputs). */
  readonly outputs: Float64Array;
}

/** Its parameters stand at `offset` of a vector: rows of W with b, then of (U, V) with c. */
export class Perceptron {
  readonly size: number;

  constructor(
    private readonly offset: number,
    private readonly inputs: number,
    private readonly width: number,
    private readonly outputs: number,
  ) {
    this.size = width * (inputs + 1) + outputs * (inputs + width + 1);
  }

  /** Sets W to normal values of variance 1 / inputs, V to a tenth of 1 / width, the rest to 0. */
  fresh(theta: Float64Array, random: Random): void {
    const { offset, inputs, width, outputs } = this;
    theta.fill(0, offset, offset + this.size);
    for (let u = 0; u < width; u++)
      for (let i = 0; i < inputs; i++) theta[offset + u * (inputs + 1) + i] = random.normal() / Math.sqrt(inputs);
    for (let o = 0; o < outputs; o++)
      for (let u = 0; u < width; u++) theta[this.skipAt(o, inputs) + u] = (0.3 * random.normal()) / Math.sqrt(width);
  }

  /** Where the weight from an input straight to an output stands; those of the hidden units follow. */
  skipAt(output: number, input: number): number {
    const { offset, inputs, width } = this;
    return offset + width * (inputs + 1) + output * (inputs + width + 1) + input;
  }

  forward(theta: Float64Array, x: Float64Array, m: number): PerceptronPass {
    const { offset, inputs, width, outputs } = this;
    const hidden = new Float64Array(m * width);
    const result = new Float64Array(m * outputs);
    for (let q = 0; q < m; q++) {
      for (let u = 0, at = offset; u < width; u++) {
        let sum = 0;
        for (let i = 0; i < inputs; i++) sum += theta[at++]! * x[q * inputs + i]!;
        hidden[q * width + u] = Math.tanh(sum + theta[at++]!);
      }
      for (let o = 0, at = this.skipAt(0, 0); o < outputs; o++) {
        let sum = 0;
        for (let i = 0; i < inputs; i++) sum += theta[at++]! * x[q * inputs + i]!;
        for (let u = 0; u < width; u++) sum += theta[at++]! * hidden[q * width + u]!;
        result[q * outputs + o] = sum + theta[at++]!;
      }
    }
    return { inputs: x, hidden, outputs: result };
  }

  /** Adds the gradient with regard to the parameters; gives that with regard to the inputs. */
  backward(theta: Float64Array, pass: PerceptronPass, cotangents: Float64Array, gradient: Float64Array): Float64Array {
    const { offset, inputs, width, outputs } = this;
    const { inputs: x, hidden } = pass;
    const result = new Float64Array(x.length);
    const inner = new Float64Array(width);
    for (let q = 0; q < x.length / inputs; q++) {
      inner.fill(0);
      for (let o = 0, at = this.skipAt(0, 0); o < outputs; o++) {
        const slope = cotangents[q * outputs + o]!;
        for (let i = 0; i < inputs; i++, at++) {
          gradient[at]! += slope * x[q * inputs + i]!;
          result[q * inputs + i]! += slope * theta[at]!;
        }
        for (let u = 0; u < width; u++, at++) {
          gradient[at]! += slope * hidden[q * width + u]!;
          inner[u]! += slope * theta[at]!;
        }
        gradient[at++]! += slope;
      }
      for (let u = 0, at = offset; u < width; u++) {
        const slope = inner[u]! * (1 - hidden[q * width + u]! ** 2);
        for (let i = 0; i < inputs; i++, at++) {
          gradient[at]! += slope * x[q * inputs + i]!;
          result[q * inputs + i]! += slope * theta[at]!;
        }
        gradient[at++]! += slope;
      }
    }
    return result;
  }
}
