/** What the head reads of the source's classes in the mean, and which of these is nearest to a row by cosine. */
import { decodeFloats, encodeFloats } from "../../checkpoint/decode.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { stackExamples } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
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

const TENSOR = "prototypes";

/** Writes prototypes as one tensor (classes, d), so that a stream needs no row of the source. */
export async function savePrototypes({ width, each }: Prototypes, target: string): Promise<void> {
  const bytes = encodeFloats(Float32Array.from(each.flatMap((mean) => [...mean])), "F32");
  const info = { name: TENSOR, dtype: "F32", shape: [each.length, width], bytes: bytes.length } as const;
  const writer = await createWriter(target, { tensors: [info], files: new Map(), lineage: [] });
  try {
    await writer.write(TENSOR, bytes);
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** Reads them. Throws UserError for another file, and for prototypes of another width. */
export async function readPrototypes({ model }: Setting, file: string): Promise<Prototypes> {
  const saved = await openPlain(file);
  try {
    const entry = saved.tensors.get(TENSOR);
    const { width } = model.sizes;
    if (entry?.shape.length !== 2 || entry.shape[1] !== width)
      throw new UserError(
        `${file} has no prototypes of ${width} numbers`,
        "bun run adapt stream --method rmt --source FILE --save-prototypes FILE writes them",
      );
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    const values = Float64Array.from(decodeFloats(bytes, entry.dtype));
    return { width, each: Array.from({ length: entry.shape[0]! }, (_, i) => values.slice(i * width, (i + 1) * width)) };
  } finally {
    saved.close();
  }
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
