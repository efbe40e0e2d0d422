/**
 * An attentive neural process in f64 on the host: points and their values go in, and for each query a Gaussian for its
 * value and an acquisition value come out.
 *
 * Queries attend to the history, the history to itself; nothing knows the order of the history. Heads are kernels: the
 * logit of a point is minus its squared distance over learnt lengths, one per coordinate, plus a multiple of its value;
 * a place without a point takes what no point near by takes, with value 0. So a fresh network is a kernel regression,
 * and training has little left to learn. The values that queries attend to are refined: what the heads miss at the
 * points of the history is added to them (Tukey's twicing), which turns a smoother into an interpolation.
 *
 * Kim et al. 2019, https://arxiv.org/abs/1901.05761; the two outputs: Maraval et al. 2023,
 * https://arxiv.org/abs/2305.15930. Gradients are written by hand.
 */
import type { Random } from "../../data/random.ts";
import { Perceptron, type PerceptronPass } from "./perceptron.ts";

const HEADS = 4;
const WIDTH = 16;
/** Times that what the heads miss is added to the values. */
const ROUNDS = 2;
/** Parameters of a head beside its lengths: logit of no point, pull of high values, logarithm of a round's share. */
const TERMS = 3;
/** Features of a head: attended value, attended square, logarithm of the mass of the points near by. */
const PER_HEAD = 3;
const FEATURES = PER_HEAD * HEADS + 3;

/** What a query is judged by. */
export interface History {
  /** (n, D), row by row. */
  readonly points: Float64Array;
  /** (n), of mean 0 and variance 1. */
  readonly values: Float64Array;
  /** The share of the trials that is left, 0 to 1. */
  readonly left: number;
}

/** What the network says of m queries, and what its gradient needs. */
export interface Pass {
  readonly mean: Float64Array;
  readonly logStd: Float64Array;
  readonly acquisition: Float64Array;
  readonly history: History;
  readonly attended: Attended;
  readonly predicted: PerceptronPass;
  readonly judged: PerceptronPass;
}

/** Gradients with regard to the outputs, (m) each. */
export type Cotangents = Pick<Pass, "mean" | "logStd" | "acquisition">;

interface Attended {
  /** Rows: the n points of the history, then the m queries. */
  readonly rows: number;
  /** (rows, n, D). */
  readonly squares: Float64Array;
  /** (HEADS, rows, n + 1); the last is the place without a point. */
  readonly weights: Float64Array;
  /** (HEADS, ROUNDS + 1, n). */
  readonly refined: Float64Array;
  /** (m, FEATURES). */
  readonly features: Float64Array;
}

export class NeuralProcess {
  /** Parameters, in the order: of heads, of the prediction, of the acquisition. */
  readonly size: number;
  private readonly prediction: Perceptron;
  private readonly judgement: Perceptron;
  private readonly perHead: number;

  /** For points of so many coordinates. */
  constructor(private readonly coordinates: number) {
    this.perHead = coordinates + TERMS;
    this.prediction = new Perceptron(HEADS * this.perHead, FEATURES, WIDTH, 2);
    this.judgement = new Perceptron(HEADS * this.perHead + this.prediction.size, FEATURES + 3, WIDTH, 1);
    this.size = HEADS * this.perHead + this.prediction.size + this.judgement.size;
  }

  /** Parameters before training: lengths from a twentieth to the whole of the cube, the rest a kernel regression. */
  fresh(random: Random): Float64Array {
    const theta = new Float64Array(this.size);
    const side = Math.sqrt(this.coordinates);
    for (let h = 0; h < HEADS; h++) {
      const at = h * this.perHead;
      theta.fill(Math.log(0.06 * side) + h * Math.log(2.2), at, at + this.coordinates);
      theta.set([-4, 0, 0], at + this.coordinates);
    }
    this.prediction.fresh(theta, random);
    for (let h = 0; h < HEADS; h++) theta[this.prediction.skipAt(0, PER_HEAD * h)] = 1 / HEADS;
    this.judgement.fresh(theta, random);
    return theta;
  }

  /** Judges m queries, (m, D) row by row; the history has a point at least. */
  forward(theta: Float64Array, history: History, queries: Float64Array): Pass {
    const attended = this.attend(theta, history, queries);
    const m = queries.length / this.coordinates;
    const predicted = this.prediction.forward(theta, attended.features, m);
    const best = Math.max(...history.values);
    const wide = FEATURES + 3;
    const inputs = new Float64Array(m * wide);
    const [mean, logStd] = [new Float64Array(m), new Float64Array(m)];
    for (let q = 0; q < m; q++) {
      mean[q] = predicted.outputs[2 * q]!;
      logStd[q] = 3 * Math.tanh(predicted.outputs[2 * q + 1]! / 3) - 1;
      for (let f = 0; f < FEATURES; f++) inputs[q * wide + f] = attended.features[q * FEATURES + f]!;
      const gain = mean[q]! - best;
      const at = q * wide + FEATURES;
      inputs[at] = gain;
      inputs[at + 1] = logStd[q]!;
      inputs[at + 2] = Math.tanh((gain * Math.exp(-logStd[q]!)) / 3);
    }
    const judged = this.judgement.forward(theta, inputs, m);
    return { mean, logStd, acquisition: judged.outputs, history, attended, predicted, judged };
  }

  /** Adds the gradient with regard to the parameters. */
  backward(theta: Float64Array, pass: Pass, cotangents: Cotangents, gradient: Float64Array): void {
    const { mean, logStd, history, attended, predicted, judged } = pass;
    const m = mean.length;
    const best = Math.max(...history.values);
    const wide = FEATURES + 3;
    const inward = this.judgement.backward(theta, judged, cotangents.acquisition, gradient);
    const outward = new Float64Array(2 * m);
    for (let q = 0; q < m; q++) {
      const at = q * wide + FEATURES;
      const scaled = (mean[q]! - best) * Math.exp(-logStd[q]!);
      const slope = (inward[at + 2]! * (1 - Math.tanh(scaled / 3) ** 2)) / 3;
      outward[2 * q] = cotangents.mean[q]! + inward[at]! + slope * Math.exp(-logStd[q]!);
      const bend = 1 - ((logStd[q]! + 1) / 3) ** 2;
      outward[2 * q + 1] = (cotangents.logStd[q]! + inward[at + 1]! - slope * scaled) * bend;
    }
    const features = this.prediction.backward(theta, predicted, outward, gradient);
    for (let q = 0; q < m; q++) for (let f = 0; f < FEATURES; f++) features[q * FEATURES + f]! += inward[q * wide + f]!;
    this.attendBackward(theta, history, attended, features, gradient);
  }

  private attend(theta: Float64Array, { points, values, left }: History, queries: Float64Array): Attended {
    const d = this.coordinates;
    const n = values.length;
    const m = queries.length / d;
    const rows = n + m;
    const squares = new Float64Array(rows * n * d);
    for (let r = 0, at = 0; r < rows; r++) {
      const [from, row] = r < n ? [points, r * d] : [queries, (r - n) * d];
      for (let i = 0; i < n; i++)
        for (let k = 0; k < d; k++) squares[at++] = (from[row + k]! - points[i * d + k]!) ** 2;
    }
    const weights = new Float64Array(HEADS * rows * (n + 1));
    const refined = new Float64Array(HEADS * (ROUNDS + 1) * n);
    const features = new Float64Array(m * FEATURES);
    const best = Math.max(...values);
    for (let q = 0; q < m; q++) features.set([best, left, Math.log(n) / 4], q * FEATURES + PER_HEAD * HEADS);
    for (let h = 0; h < HEADS; h++) {
      const at = h * this.perHead;
      const inverse = Float64Array.from(theta.subarray(at, at + d), (length) => Math.exp(-2 * length));
      const [none, pull, share] = [theta[at + d]!, theta[at + d + 1]!, Math.exp(theta[at + d + 2]!)];
      const own = weights.subarray(h * rows * (n + 1), (h + 1) * rows * (n + 1));
      const mass = new Float64Array(rows);
      for (let r = 0; r < rows; r++) {
        const row = r * (n + 1);
        let top = none;
        for (let i = 0, s = r * n * d; i < n; i++) {
          let logit = pull * values[i]!;
          for (let k = 0; k < d; k++) logit -= inverse[k]! * squares[s++]!;
          own[row + i] = logit;
          if (logit > top) top = logit;
        }
        own[row + n] = none;
        let sum = 0;
        for (let i = 0; i <= n; i++) sum += own[row + i] = Math.exp(own[row + i]! - top);
        for (let i = 0; i <= n; i++) own[row + i]! /= sum;
        mass[r] = top + Math.log(sum);
      }
      const rounds = refined.subarray(h * (ROUNDS + 1) * n, (h + 1) * (ROUNDS + 1) * n);
      rounds.set(values);
      for (let k = 0; k < ROUNDS; k++)
        for (let i = 0; i < n; i++) {
          let met = 0;
          for (let j = 0; j < n; j++) met += own[i * (n + 1) + j]! * rounds[k * n + j]!;
          rounds[(k + 1) * n + i] = rounds[k * n + i]! + share * (values[i]! - met);
        }
      for (let q = 0; q < m; q++) {
        let [value, square] = [0, 0];
        for (let i = 0; i < n; i++) {
          const weight = own[(n + q) * (n + 1) + i]!;
          value += weight * rounds[ROUNDS * n + i]!;
          square += weight * values[i]! ** 2;
        }
        const f = q * FEATURES + PER_HEAD * h;
        features[f] = value;
        features[f + 1] = square;
        features[f + 2] = mass[n + q]!;
      }
    }
    return { rows, squares, weights, refined, features };
  }

  private attendBackward(
    theta: Float64Array,
    { values }: History,
    { rows, squares, weights, refined }: Attended,
    features: Float64Array,
    gradient: Float64Array,
  ): void {
    const d = this.coordinates;
    const n = values.length;
    const width = n + 1;
    for (let h = 0; h < HEADS; h++) {
      const at = h * this.perHead;
      const share = Math.exp(theta[at + d + 2]!);
      const own = weights.subarray(h * rows * width, (h + 1) * rows * width);
      const rounds = refined.subarray(h * (ROUNDS + 1) * n, (h + 1) * (ROUNDS + 1) * n);
      const inner = new Float64Array(rows * width); // with regard to weights
      const masses = new Float64Array(rows);
      let back = new Float64Array(n); // with regard to the refined values
      for (let r = n; r < rows; r++) {
        const f = (r - n) * FEATURES + PER_HEAD * h;
        masses[r] = features[f + 2]!;
        for (let i = 0; i < n; i++) {
          inner[r * width + i] = features[f]! * rounds[ROUNDS * n + i]! + features[f + 1]! * values[i]! ** 2;
          back[i]! += features[f]! * own[r * width + i]!;
        }
      }
      for (let k = ROUNDS - 1; k >= 0; k--) {
        const before = Float64Array.from(back);
        for (let i = 0; i < n; i++) {
          gradient[at + d + 2]! += back[i]! * (rounds[(k + 1) * n + i]! - rounds[k * n + i]!);
          for (let j = 0; j < n; j++) {
            inner[i * width + j]! -= share * back[i]! * rounds[k * n + j]!;
            before[j]! -= share * back[i]! * own[i * width + j]!;
          }
        }
        back = before;
      }
      const lengths = new Float64Array(d);
      for (let r = 0; r < rows; r++) {
        let mean = 0;
        for (let i = 0; i < n; i++) mean += own[r * width + i]! * inner[r * width + i]!;
        for (let i = 0; i < n; i++) {
          const logit = own[r * width + i]! * (inner[r * width + i]! - mean + masses[r]!);
          gradient[at + d + 1]! += logit * values[i]!;
          const s = (r * n + i) * d;
          for (let k = 0; k < d; k++) lengths[k]! += logit * squares[s + k]!;
        }
        gradient[at + d]! += own[r * width + n]! * (masses[r]! - mean);
      }
      for (let k = 0; k < d; k++) gradient[at + k]! += 2 * lengths[k]! * Math.exp(-2 * theta[at + k]!);
    }
  }
}
