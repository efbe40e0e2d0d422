/**
 * A perceptron of one hidden layer that is built by gradient boosting, some units at a time, on the host in f64: each
 * block of units learns what the blocks before leave over, and all of them are one network in the end, whose last
 * units may be switched off.
 *
 *   F = F_0;  for t = 1 ... T:  r = -gradient of the loss to F,  h_t = least squares fit to r by J units,
 *                               F <- F + eta rho_t h_t
 *
 *   numbers   F_0 = mean,  r = y - F,         rho = 1
 *   classes   F_0 = 0,     r = y - softmax F,  rho = sum h r / sum h^2 p (1 - p), by class: a step of Newton's
 *
 * Emami and Martínez-Muñoz, "Sequential Training of Neural Networks with Gradient Boosting", IEEE Access 2023,
 * https://arxiv.org/abs/1909.12098. Fits are by Adam over all rows of a draw, theirs by a quasi-Newton solver.
 */
import { Random } from "../../data/random.ts";
import { adam } from "../../tensor/descent.ts";

/** Rows (N, inputs) and what they are to give: a class each, or (N, outputs) numbers. */
export interface BoostingRows {
  readonly x: Float64Array;
  readonly count: number;
  readonly inputs: number;
  readonly outputs: number;
  /** (N, outputs): one-hot classes, or numbers. */
  readonly y: Float64Array;
  readonly isClasses: boolean;
}

export interface BoostingOptions {
  readonly units: number;
  /** Units of a block; the last one may have fewer. */
  readonly block: number;
  /** eta */
  readonly rate: number;
  /** Share of the rows that a block learns from. */
  readonly share: number;
  /** Steps of a fit, and Adam's rate in it. */
  readonly iterations: number;
  readonly fitRate: number;
  readonly seed: number;
}

/** sigmoid(w x + b) of `units` units, and v of what they give, with a bias. */
export interface Fused {
  readonly units: number;
  /** (units, inputs) */
  readonly w: Float64Array;
  /** (units) */
  readonly b: Float64Array;
  /** (outputs, units) */
  readonly v: Float64Array;
  /** (outputs) */
  readonly c: Float64Array;
}

const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));

/** What a network gives for rows, (N, outputs); of its first `units` units alone where that is said. */
export function outputsOf(net: Fused, { x, count, inputs, outputs }: BoostingRows, units = net.units): Float64Array {
  const found = new Float64Array(count * outputs);
  const hidden = new Float64Array(units);
  for (let row = 0; row < count; row++) {
    for (let j = 0; j < units; j++) {
      let z = net.b[j]!;
      for (let i = 0; i < inputs; i++) z += net.w[j * inputs + i]! * x[row * inputs + i]!;
      hidden[j] = sigmoid(z);
    }
    for (let k = 0; k < outputs; k++) {
      let sum = net.c[k]!;
      for (let j = 0; j < units; j++) sum += net.v[k * net.units + j]! * hidden[j]!;
      found[row * outputs + k] = sum;
    }
  }
  return found;
}

/** Softmax of rows of logits (N, outputs). */
function probabilities(logits: Float64Array, outputs: number): Float64Array {
  const found = new Float64Array(logits.length);
  for (let at = 0; at < logits.length; at += outputs) {
    const row = logits.subarray(at, at + outputs);
    const most = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((total, z) => total + Math.exp(z - most), 0);
    for (const [k, z] of row.entries()) found[at + k] = Math.exp(z - most) / sum;
  }
  return found;
}

/** Mean loss of rows: cross-entropy, or half the squared distance. */
export function boostingLoss({ y, count, outputs, isClasses }: BoostingRows, logits: Float64Array): number {
  if (!isClasses) return y.reduce((sum, value, i) => sum + (value - logits[i]!) ** 2 / 2, 0) / count;
  const p = probabilities(logits, outputs);
  return y.reduce((sum, value, i) => sum - (value > 0 ? value * Math.log(Math.max(p[i]!, 1e-300)) : 0), 0) / count;
}

/** The rows of a draw. */
function drawn(rows: BoostingRows, r: Float64Array, chosen: readonly number[]) {
  const pick = (values: Float64Array, width: number) => {
    const found = new Float64Array(chosen.length * width);
    for (const [i, row] of chosen.entries()) found.set(values.subarray(row * width, (row + 1) * width), i * width);
    return found;
  };
  return { ...rows, count: chosen.length, x: pick(rows.x, rows.inputs), y: pick(r, rows.outputs) };
}

/** Units that fit `rows.y` by least squares, from small random weights. */
function fitted(rows: BoostingRows, units: number, { iterations, fitRate }: BoostingOptions, random: Random): Fused {
  const { x, y, count, inputs, outputs } = rows;
  const sizes = [units * inputs, units, outputs * units, outputs];
  const all = new Float64Array(sizes.reduce((a, b) => a + b));
  const parts = (of: Float64Array): Fused => {
    const [w, b, v, c] = sizes.map((size, i) => {
      const start = sizes.slice(0, i).reduce((sum, one) => sum + one, 0);
      return of.subarray(start, start + size);
    });
    return { units, w: w!, b: b!, v: v!, c: c! };
  };
  const net = parts(all);
  for (let i = 0; i < net.w.length; i++) net.w[i] = random.normal() / Math.sqrt(inputs);
  for (let i = 0; i < net.v.length; i++) net.v[i] = (0.1 * random.normal()) / Math.sqrt(units);
  const descent = adam(fitRate);
  const slope = new Float64Array(all.length);
  const into = parts(slope);
  const hidden = new Float64Array(units);
  for (let step = 0; step < iterations; step++) {
    slope.fill(0);
    for (let row = 0; row < count; row++) {
      const from = row * inputs;
      for (let j = 0; j < units; j++) {
        let z = net.b[j]!;
        for (let i = 0; i < inputs; i++) z += net.w[j * inputs + i]! * x[from + i]!;
        hidden[j] = sigmoid(z);
      }
      for (let j = 0; j < units; j++) {
        let back = 0;
        for (let k = 0; k < outputs; k++) {
          let error = net.c[k]! - y[row * outputs + k]!;
          for (let m = 0; m < units; m++) error += net.v[k * units + m]! * hidden[m]!;
          error /= count;
          if (j === 0) into.c[k]! += error;
          into.v[k * units + j]! += error * hidden[j]!;
          back += error * net.v[k * units + j]!;
        }
        back *= hidden[j]! * (1 - hidden[j]!);
        into.b[j]! += back;
        for (let i = 0; i < inputs; i++) into.w[j * inputs + i]! += back * x[from + i]!;
      }
    }
    descent.step(all, slope);
  }
  return net;
}

/** rho of each output, of what a block gives, (N, outputs). */
function lengths({ y, outputs, isClasses }: BoostingRows, h: Float64Array, p: Float64Array): Float64Array {
  const found = new Float64Array(outputs).fill(1);
  if (!isClasses) return found;
  for (let k = 0; k < outputs; k++) {
    let [above, below] = [0, 0];
    for (let at = k; at < h.length; at += outputs) {
      above += h[at]! * (y[at]! - p[at]!);
      below += h[at]! ** 2 * p[at]! * (1 - p[at]!);
    }
    found[k] = below > 1e-12 ? above / below : 0;
  }
  return found;
}

/** All blocks as one network: what stands before them, and v and c of each times its rho. */
function fused(blocks: readonly Fused[], first: Float64Array, inputs: number): Fused {
  const units = blocks.reduce((sum, block) => sum + block.units, 0);
  const outputs = first.length;
  const net = {
    units,
    w: new Float64Array(units * inputs),
    b: new Float64Array(units),
    v: new Float64Array(outputs * units),
    c: first.slice(),
  };
  let at = 0;
  for (const { units: own, w, b, v, c } of blocks) {
    net.w.set(w, at * inputs);
    net.b.set(b, at);
    for (let k = 0; k < outputs; k++) {
      net.v.set(v.subarray(k * own, (k + 1) * own), k * units + at);
      net.c[k]! += c[k]!;
    }
    at += own;
  }
  return net;
}

/** What is told of a block. */
export interface BoostedBlock {
  /** Units so far. */
  readonly units: number;
  /** Mean loss of all rows. */
  readonly loss: number;
}

/**
 * Builds the network. `told` hears of every block, and may wait. What F is after the last block, (N, outputs), is what
 * the network gives, but for rounding.
 */
export async function boosted(
  rows: BoostingRows,
  options: BoostingOptions,
  told: (block: BoostedBlock) => void | Promise<void> = () => {},
): Promise<{ readonly net: Fused; readonly sums: Float64Array }> {
  const { count, inputs, outputs, y, isClasses } = rows;
  const first = new Float64Array(outputs);
  if (!isClasses) for (const [i, value] of y.entries()) first[i % outputs]! += value / count;
  const sums = Float64Array.from(y, (_, i) => first[i % outputs]!);
  const blocks: Fused[] = [];
  const taken = Math.max(1, Math.round(options.share * count));
  for (let units = 0; units < options.units; ) {
    const size = Math.min(options.block, options.units - units);
    const random = new Random(options.seed, "block", blocks.length);
    const p = isClasses ? probabilities(sums, outputs) : sums;
    const left = y.map((value, i) => value - p[i]!);
    const chosen = random.shuffled(Array.from({ length: count }, (_, i) => i)).slice(0, taken);
    const net = fitted(
      drawn(rows, left, taken === count ? chosen.sort((a, b) => a - b) : chosen),
      size,
      options,
      random,
    );
    const h = outputsOf(net, rows);
    const rho = lengths(rows, h, p).map((length) => options.rate * length);
    for (const [i, value] of h.entries()) sums[i]! += rho[i % outputs]! * value;
    const scaled = net.v.map((value, at) => value * rho[Math.floor(at / size)]!);
    blocks.push({ ...net, v: scaled, c: net.c.map((value, k) => value * rho[k]!) });
    units += size;
    await told({ units, loss: boostingLoss(rows, sums) });
  }
  return { net: fused(blocks, first, inputs), sums };
}
