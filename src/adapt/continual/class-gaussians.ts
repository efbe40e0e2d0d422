/**
 * A Gaussian for the features of every class of every task: its mean, and a factor L of its covariance L L^T. f64 on
 * the host; a class takes C^3 / 6 multiplications once, and C^2 / 2 for every sample. Kept: C^2 + C floats a class.
 */
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import { keyedNormals } from "../../keyed-random.ts";
import { choleskyFactor } from "../../tensor/linear-algebra/cholesky.ts";
import type { HostTensor, Stage, Stream } from "./contract.ts";
import { askRows } from "./outputs.ts";

/** Added to the diagonal of every covariance. */
const RIDGE = 1e-4;

/** Features of rows of `label` in `task`. */
export interface ClassGaussian {
  readonly task: number;
  readonly label: number;
  /** (C) */
  readonly mean: Float32Array;
  /** Lower triangle of (C, C). */
  readonly factor: Float32Array;
}

/**
 * Mean (C) and covariance (C, C) of rows, divided by n - 1, with 1e-4 on the diagonal. Of one row the covariance is
 * that diagonal.
 */
export function momentsOf(rows: readonly Float32Array[], width: number) {
  const mean = new Float64Array(width);
  for (const row of rows) for (let i = 0; i < width; i++) mean[i]! += row[i]! / rows.length;
  const covariance = new Float64Array(width * width);
  const share = 1 / Math.max(1, rows.length - 1);
  for (const row of rows)
    for (let i = 0; i < width; i++) {
      const off = (row[i]! - mean[i]!) * share;
      for (let j = 0; j <= i; j++) covariance[i * width + j]! += off * (row[j]! - mean[j]!);
    }
  for (let i = 0; i < width; i++) {
    for (let j = 0; j < i; j++) covariance[j * width + i] = covariance[i * width + j]!;
    covariance[i * width + i]! += RIDGE;
  }
  return { mean, covariance };
}

/** `count` samples (count, C) of N(shrink mean, L L^T), chosen by seed and name. */
export function samplesOf(
  { mean, factor }: ClassGaussian,
  { count, shrink, seed, name }: { count: number; shrink: number; seed: number; name: string },
): Float32Array {
  const width = mean.length;
  const noise = keyedNormals(count * width, 1, seed, name);
  const samples = new Float32Array(count * width);
  // Row by row of L, which stays in the cache for all samples.
  for (let i = 0; i < width; i++) {
    const row = factor.subarray(i * width, i * width + i + 1);
    for (let at = 0; at < samples.length; at += width) {
      let value = shrink * mean[i]!;
      for (let j = 0; j <= i; j++) value += row[j]! * noise[at + j]!;
      samples[at + i] = value;
    }
  }
  return samples;
}

/** The Gaussians of all classes that have come so far, in the order in which they came. */
export class ClassGaussians {
  #of: ClassGaussian[] = [];
  readonly #stream: Stream<unknown>;

  constructor(stream: Stream<unknown>) {
    this.#stream = stream;
  }

  get list(): readonly ClassGaussian[] {
    return this.#of;
  }

  /** Adds the classes of a stage's tasks, as the model is now. Throws UserError for features that are not finite. */
  async measure(stage: Stage): Promise<void> {
    const { rows, tasks, dry } = this.#stream;
    for (const task of stage.tasks) {
      const byLabel = Map.groupBy(rows.of([task]), (ref) => rows.labelOf(ref)!);
      for (const label of tasks[task]!.classes) {
        if (dry) continue;
        const features = await askRows(this.#stream, byLabel.get(label) ?? [], "features");
        this.#of.push(this.#gaussian(task, label, features));
      }
    }
  }

  #gaussian(task: number, label: number, features: readonly Float32Array[]): ClassGaussian {
    const { tasks, model } = this.#stream;
    const { width } = model.sizes;
    const { mean, covariance } = momentsOf(features, width);
    const factor = choleskyFactor(covariance, width);
    if (!factor)
      throw new UserError(
        `features of class ${label} of ${tasks[task]!.name} are not finite, or too large for a covariance`,
        "the training diverged: lower --lr",
        1,
      );
    return { task, label, mean: Float32Array.from(mean), factor: Float32Array.from(factor) };
  }

  state(): Json {
    return this.#of.map(({ task, label }) => [task, label]);
  }

  /** Makes room for what `kept` names. */
  load(state: Json): void {
    const { width } = this.#stream.model.sizes;
    this.#of = (state as [number, number][]).map(([task, label]) => {
      return { task, label, mean: new Float32Array(width), factor: new Float32Array(width * width) };
    });
  }

  get kept(): HostTensor[] {
    const { width } = this.#stream.model.sizes;
    return this.#of.flatMap(({ task, label, mean, factor }) => [
      { name: `class_mean.${task}.${label}`, shape: [width], values: mean },
      { name: `class_factor.${task}.${label}`, shape: [width, width], values: factor },
    ]);
  }
}
