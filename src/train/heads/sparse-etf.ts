/**
 * A fixed head whose classes are as far apart as can be, with most of its weights at zero: a simplex equiangular tight
 * frame that is made sparse, and then spread again by descent over what is left.
 *
 * Xiao et al., "FedLoGe: Joint Local and Generic Federated Learning under Long-tailed Data", ICLR 2024,
 * https://arxiv.org/abs/2401.08977
 */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { keyedNormals } from "../../keyed-random.ts";

export interface EtfOptions {
  readonly classes: number;
  /** Numbers that a class's row has. */
  readonly width: number;
  /** Share of all weights that are zero. */
  readonly sparsity: number;
  readonly steps: number;
  readonly seed: number;
}

/** Length that rows are drawn to. */
const LENGTH = 0.1;
const RATE = 1e-4;

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** Rows at right angles and of length 1, drawn by the seed: Gram and Schmidt, twice for the sake of rounding. */
function orthonormal({ classes, width, seed }: EtfOptions): Float64Array[] {
  const rows: Float64Array[] = [];
  for (let c = 0; c < classes; c++) {
    const row = Float64Array.from(keyedNormals(width, 1, seed, `etf ${c}`));
    for (const earlier of [...rows, ...rows]) {
      const share = dot(row, earlier);
      for (let i = 0; i < width; i++) row[i]! -= share * earlier[i]!;
    }
    const length = Math.sqrt(dot(row, row));
    rows.push(row.map((value) => value / length));
  }
  return rows;
}

/** A row for each class, of length 1 each, any two at a cosine of -1 / (classes - 1). */
export function simplexEtf(options: EtfOptions): Float64Array[] {
  const rows = orthonormal(options);
  const mean = new Float64Array(options.width);
  for (const row of rows) for (const [i, value] of row.entries()) mean[i]! += value / rows.length;
  const scale = Math.sqrt(rows.length / (rows.length - 1));
  return rows.map((row) => row.map((value, i) => scale * (value - mean[i]!)));
}

/**
 * The rows of a sparse one, (classes, width). Throws UserError where there are more classes than numbers in a row, and
 * where a row is left without any.
 */
export function sparseEtf(options: EtfOptions): Float64Array[] {
  const { classes, width, sparsity, steps, seed } = options;
  if (classes < 2 || classes > width)
    throw new UserError(
      `--head sparse-etf sets ${classes} classes apart in ${width} numbers, and needs from 2 to as many classes as numbers`,
      "take a model whose head reads more numbers",
    );
  const rows = simplexEtf(options);
  const places = Array.from({ length: classes * width }, (_, i) => i);
  for (const place of new Random(seed, "etf zeros").shuffled(places).slice(0, Math.floor(sparsity * places.length)))
    rows[Math.floor(place / width)]![place % width] = 0;
  const bare = rows.findIndex((row) => row.every((value) => value === 0));
  if (bare >= 0) throw new UserError(`--etf-sparsity ${sparsity} leaves class ${bare} nothing`, "lower it");
  spread(rows, steps);
  return rows;
}

/** Adam on sum (|m_c| - 0.1)^2 - mean_c acos(max_j cos(m_c, m_j)); what is zero stays zero. */
function spread(rows: readonly Float64Array[], steps: number): void {
  const means = rows.map((row) => new Float64Array(row.length));
  const squares = rows.map((row) => new Float64Array(row.length));
  for (let step = 1; step <= steps; step++) {
    const gradient = etfGradient(rows);
    for (const [c, row] of rows.entries())
      for (let i = 0; i < row.length; i++) {
        if (row[i] === 0) continue;
        const g = gradient[c]![i]!;
        means[c]![i] = 0.9 * means[c]![i]! + 0.1 * g;
        squares[c]![i] = 0.999 * squares[c]![i]! + 0.001 * g * g;
        const root = Math.sqrt(squares[c]![i]! / (1 - 0.999 ** step)) + 1e-8;
        row[i]! -= (RATE * means[c]![i]!) / (1 - 0.9 ** step) / root;
      }
  }
}

/** What `spread` lowers. */
export function etfLoss(rows: readonly Float64Array[]): number {
  const lengths = rows.map((row) => Math.sqrt(dot(row, row)));
  return rows.reduce((loss, row, c) => {
    const { cosine } = nearest(rows, lengths, row, c);
    return loss + (lengths[c]! - LENGTH) ** 2 - Math.acos(cosine) / rows.length;
  }, 0);
}

/** The gradient of `etfLoss`, as its rows are. */
export function etfGradient(rows: readonly Float64Array[]): Float64Array[] {
  const lengths = rows.map((row) => Math.sqrt(dot(row, row)));
  const gradient = rows.map((row, c) => row.map((value) => (2 * (lengths[c]! - LENGTH) * value) / lengths[c]!));
  for (const [c, row] of rows.entries()) {
    const { other, cosine } = nearest(rows, lengths, row, c);
    const factor = 1 / (rows.length * Math.sqrt(Math.max(1 - cosine * cosine, 1e-12)));
    const [a, b] = [lengths[c]!, lengths[other]!];
    for (let i = 0; i < row.length; i++) {
      const [x, y] = [row[i]! / a, rows[other]![i]! / b];
      gradient[c]![i]! += (factor * (y - cosine * x)) / a;
      gradient[other]![i]! += (factor * (x - cosine * y)) / b;
    }
  }
  return gradient;
}

/** The row at the least angle to one, the first of equals. */
function nearest(
  rows: readonly Float64Array[],
  lengths: readonly number[],
  row: Float64Array,
  c: number,
): { readonly other: number; readonly cosine: number } {
  let found = { other: -1, cosine: Number.NEGATIVE_INFINITY };
  for (const [j, other] of rows.entries()) {
    if (j === c) continue;
    const cosine = dot(row, other) / (lengths[c]! * lengths[j]!);
    if (cosine > found.cosine) found = { other: j, cosine };
  }
  return found;
}
