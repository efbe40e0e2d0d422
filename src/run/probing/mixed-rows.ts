/**
 * What a classifier makes of rows that are mixed of two: whether mixtures of one class point as the head's row of the
 * class does, and whether those of two classes leave the line between their means. Fisher et al., Pushing Boundaries:
 * Mixup's Influence on Neural Collapse, 2024, https://arxiv.org/abs/2402.06171
 */
import { type Batch, type NumbersBatch, stackExamples } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { ClassView } from "./class-view.ts";
import type { ClassMeans } from "./neural-collapse.ts";

/** Shares of the first row of a mixture. */
const SHARES = Array.from({ length: 9 }, (_, i) => (i + 1) / 10);

export interface MixedFeatures {
  /** Mean cosine of centred features with the head's row, of mixtures of two rows of one class. */
  readonly same_class_cosine: number;
  /** Of centred features of mixtures of two classes, the share of their length outside the plane of both head rows. */
  readonly outside_plane: number;
  /** Distance of these features from the mixture of the classes' means, over the distance of the means. */
  readonly off_the_line: number;
}

const product = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** The share of a vector's length that lies outside the plane of two others. */
export function outsidePlane(x: Float64Array, a: ArrayLike<number>, b: ArrayLike<number>): number {
  const u = Float64Array.from(a, (value) => value / Math.sqrt(product(a, a)));
  const along = product(u, b);
  const rest = Float64Array.from(b, (value, i) => value - along * u[i]!);
  const length = Math.sqrt(product(rest, rest));
  const v = length > 1e-12 ? rest.map((value) => value / length) : rest.fill(0);
  const inside = product(x, u) ** 2 + product(x, v) ** 2;
  const whole = product(x, x);
  return whole === 0 ? 0 : Math.sqrt(Math.max(0, 1 - inside / whole));
}

/** Rows of numbers that are mixed, `size` in a batch. */
function mixtures(
  rows: readonly { readonly x: Float32Array; readonly shape: readonly number[] }[],
  size: number,
): NumbersBatch[] {
  return Array.from({ length: Math.ceil(rows.length / size) }, (_, i) =>
    stackExamples(rows.slice(i * size, (i + 1) * size).map((row) => ({ ...row, label: 0 }))),
  );
}

export interface MixOptions {
  readonly pairs: number;
  readonly seed: number;
  readonly head: (label: number) => ArrayLike<number>;
  readonly means: ClassMeans;
}

/** Draws pairs by seed, and mixes each at nine shares. Throws UserError for rows that are no numbers. */
export async function mixedFeatures(
  view: Pick<ClassView, "read">,
  batches: readonly Batch[],
  { pairs, seed, head, means: { classes, means, centre } }: MixOptions,
): Promise<MixedFeatures> {
  const rows = batches.flatMap((batch) => {
    if (!("x" in batch))
      throw new UserError("mixtures are of rows of numbers (x or image), and these are texts", "leave them out");
    const width = batch.x.length / batch.rows;
    return Array.from(batch.labels, (label, row) => ({
      x: batch.x.slice(row * width, (row + 1) * width),
      ...{ shape: batch.shape, label },
    }));
  });
  const random = new Random(seed, "mixed rows");
  const drawn = Array.from(
    { length: pairs },
    () => [rows[random.below(rows.length)]!, rows[random.below(rows.length)]!] as const,
  );
  const asked = drawn.flatMap(([a, b]) => SHARES.map((share) => ({ a, b, share })));
  const made = mixtures(
    asked.map(({ a, b, share }) => ({
      x: a.x.map((value, i) => share * value + (1 - share) * b.x[i]!),
      shape: a.shape,
    })),
    batches[0]!.rows,
  );
  const { features, width } = await view.read(made);
  const meanOf = (label: number) => means[classes.indexOf(label)]!;
  let [cosine, same, outside, off, other] = [0, 0, 0, 0, 0];
  for (const [row, { a, b, share }] of asked.entries()) {
    const h = features.subarray(row * width, (row + 1) * width);
    const x = Float64Array.from(h, (value, i) => value - centre[i]!);
    const [w, v] = [head(a.label), head(b.label)];
    if (a.label === b.label) {
      cosine += product(x, w) / Math.max(1e-30, Math.sqrt(product(x, x) * product(w, w)));
      same++;
      continue;
    }
    outside += outsidePlane(x, w, v);
    const [ma, mb] = [meanOf(a.label), meanOf(b.label)];
    const gap = Float64Array.from(h, (value, i) => value - share * ma[i]! - (1 - share) * mb[i]!);
    const between = ma.map((value, i) => value - mb[i]!);
    off += Math.sqrt(product(gap, gap) / Math.max(1e-30, product(between, between)));
    other++;
  }
  if (same === 0 || other === 0)
    throw new UserError("the pairs that were drawn are all of one class, or none is", "draw more of them");
  return { same_class_cosine: cosine / same, outside_plane: outside / other, off_the_line: off / other };
}
