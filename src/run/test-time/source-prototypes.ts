/** What the head reads of the source's classes in the mean, and which of these is nearest to a row by cosine. */
import { stackExamples } from "../../data/batch.ts";
import type { Setting } from "./contract.ts";
import { Answers } from "./student.ts";

export interface Prototypes {
  /** d */
  readonly width: number;
  /** (d) of every class that has rows. */
  readonly each: readonly Float64Array[];
}

/** Means over the source rows of each class, by the source model as it is. */
export async function prototypesOf({ model, source, classes, batchSize, signal }: Setting): Promise<Prototypes> {
  if (!source) throw new Error("prototypes are means of source rows");
  const answers = new Answers(model, { source: undefined }, "running");
  const { width } = model.sizes;
  const sums = Array.from({ length: classes }, () => new Float64Array(width));
  const counts = new Int32Array(classes);
  for (const rows of source.inOrder(batchSize)) {
    signal.throwIfAborted();
    const { hidden } = (await answers.of(stackExamples(rows), ["source"])).get("source")!;
    for (const [i, { label }] of rows.entries()) {
      counts[label]!++;
      for (let k = 0; k < width; k++) sums[label]![k]! += hidden[i * width + k]!;
    }
  }
  answers.free();
  return {
    width,
    each: sums.flatMap((sum, label) => (counts[label]! > 0 ? [sum.map((x) => x / counts[label]!)] : [])),
  };
}

/** The nearest prototype of every row of features (B, d): (B, d). */
export function nearestPrototypes({ width, each }: Prototypes, features: Float32Array): Float32Array {
  const lengths = each.map((mean) => Math.sqrt(mean.reduce((sum, x) => sum + x * x, 0)) || 1);
  const found = new Float32Array(features.length);
  for (let row = 0; row < features.length; row += width) {
    let [best, most] = [0, Number.NEGATIVE_INFINITY];
    for (const [at, mean] of each.entries()) {
      // The row's own length is the same for all.
      const cosine = mean.reduce((sum, x, k) => sum + x * features[row + k]!, 0) / lengths[at]!;
      if (cosine > most) [best, most] = [at, cosine];
    }
    found.set(Float32Array.from(each[best]!), row);
  }
  return found;
}
