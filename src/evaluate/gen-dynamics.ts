/**
 * The test error of gradient descent in a linear student that learns from a noisy linear teacher, as theory has it in
 * the limit of many inputs, and as it is measured. Advani, Saxe and Sompolinsky, High-dimensional dynamics of
 * generalization error in neural networks, 2017, https://arxiv.org/abs/1710.03667
 *
 * N inputs, P = a N samples x ~ N(0, 1/N), teacher weights of variance w, noise of variance e, student weights of
 * variance s at the beginning; time in units of tau, dW/dt = X^T (y - X W). Eigenvalues of X^T X follow Marchenko and
 * Pastur, rho(l) = sqrt((l+ - l)(l - l-)) / (2 pi l) on (sqrt(a) -+ 1)^2, with a share 1 - a at zero where a < 1:
 *
 *   E(t) = int rho(l) [(w + s) exp(-2 l t) + e / l (1 - exp(-l t))^2] dl + e
 */
import { Random } from "../data/random.ts";

export interface Linear {
  /** P / N */
  readonly ratio: number;
  readonly teacher: number;
  readonly noise: number;
  readonly start: number;
}

/** Nodes of the integral; its integrand is smooth in the angle. */
const NODES = 4000;

/** The integral of a function over the spectrum but for what is at zero. l = 1 + a - 2 sqrt(a) cos(phi). */
function overSpectrum(ratio: number, of: (eigenvalue: number) => number): number {
  const root = Math.sqrt(ratio);
  let sum = 0;
  for (let k = 0; k < NODES; k++) {
    const phi = (Math.PI * (k + 0.5)) / NODES;
    const eigenvalue = 1 + ratio - 2 * root * Math.cos(phi);
    // d l = 2 sqrt(a) sin(phi) d phi, and the root of the density is 2 sqrt(a) sin(phi).
    const weight = (2 * root * Math.sin(phi)) ** 2 / (2 * Math.PI * Math.max(eigenvalue, 1e-300));
    sum += weight * of(eigenvalue);
  }
  return (sum * Math.PI) / NODES;
}

/** The share of directions that no sample moves. */
export const frozenShare = ({ ratio }: Pick<Linear, "ratio">): number => Math.max(0, 1 - ratio);

/** Test error at time t; Infinity: in the end. */
export function testError(world: Linear, t: number): number {
  const { ratio, teacher, noise, start } = world;
  const whole = teacher + start;
  const moving = overSpectrum(ratio, (l) => {
    const left = Math.exp(-l * t);
    return whole * left * left + (noise / l) * (1 - left) ** 2;
  });
  return moving + frozenShare(world) * whole + noise;
}

/** When to stop a direction of this eigenvalue: ln(1 + l (w + s) / e) / l. */
export const stopOf = ({ teacher, start, noise }: Linear, eigenvalue: number): number =>
  noise === 0 ? Number.POSITIVE_INFINITY : Math.log(1 + (eigenvalue * (teacher + start)) / noise) / eigenvalue;

/** The time at which the error of all directions together is least, of times that grow by 5 %, and that error. */
export function bestStop(world: Linear, last: number): { readonly time: number; readonly error: number } {
  let best = { time: 0, error: testError(world, 0) };
  for (let time = 0.01; time <= last; time *= 1.05) {
    const error = testError(world, time);
    if (error < best.error) best = { time, error };
  }
  return best;
}

export interface Simulation {
  readonly inputs: number;
  readonly draws: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
}

/** Means over draws of the test error at every time (ascending), by descent in small steps on drawn samples. */
export function simulate(
  world: Linear,
  times: readonly number[],
  { inputs, draws, seed, signal }: Simulation,
): number[] {
  const samples = Math.max(1, Math.round(world.ratio * inputs));
  const step = 0.05 / (1 + Math.sqrt(world.ratio)) ** 2;
  const sums = times.map(() => 0);
  for (let draw = 0; draw < draws; draw++) {
    signal?.throwIfAborted();
    const random = new Random(seed, "linear", draw);
    const normals = (count: number, deviation: number) =>
      Float64Array.from({ length: count }, () => deviation * random.normal());
    const teacher = normals(inputs, Math.sqrt(world.teacher));
    const student = normals(inputs, Math.sqrt(world.start));
    const x = normals(samples * inputs, 1 / Math.sqrt(inputs));
    const y = normals(samples, Math.sqrt(world.noise));
    for (let p = 0; p < samples; p++) for (let i = 0; i < inputs; i++) y[p]! += x[p * inputs + i]! * teacher[i]!;
    let done = 0;
    for (const [k, time] of times.entries()) {
      for (; done < Math.round(time / step); done++) descend(x, y, student, step);
      sums[k]! += student.reduce((sum, w, i) => sum + (w - teacher[i]!) ** 2, 0) / inputs + world.noise;
    }
  }
  return sums.map((sum) => sum / draws);
}

/** w += step X^T (y - X w) */
function descend(x: Float64Array, y: Float64Array, w: Float64Array, step: number): void {
  const inputs = w.length;
  const change = new Float64Array(inputs);
  for (let p = 0; p < y.length; p++) {
    const at = p * inputs;
    let error = y[p]!;
    for (let i = 0; i < inputs; i++) error -= x[at + i]! * w[i]!;
    for (let i = 0; i < inputs; i++) change[i]! += error * x[at + i]!;
  }
  for (let i = 0; i < inputs; i++) w[i]! += step * change[i]!;
}
