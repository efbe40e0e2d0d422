/**
 * A token's likeliest outputs in few bytes: ids in as many bits as the vocabulary needs, the first log-probabilities in
 * bf16, and the others as a curve over their ranks. As DistillKit compresses them, Goddard and Fernandes Neto 2024,
 * https://github.com/arcee-ai/DistillKit
 *
 *   ids      k, the likeliest first, of ceil(log2 V) bits each
 *   exact    e log-probabilities, bf16
 *   curve    f32 coefficients of terms that fit the others by least squares; u = rank / (k - e - 1), 0 to 1
 *   bins     with b bits, what the curve misses in steps of scale = max |r| / 2^(b-1): scale f32, then k - e numbers
 *
 * Bits fill bytes from the lowest on; every part but the bins is followed by the next in whole bytes.
 */

/** Functions of u that a curve is made of, by name. */
const TERMS = {
  "1": () => 1,
  t: (u: number) => u,
  "t^2": (u: number) => u ** 2,
  "t^3": (u: number) => u ** 3,
  "t^4": (u: number) => u ** 4,
  sqrt: (u: number) => Math.sqrt(u),
} as const satisfies Record<string, (u: number) => number>;
export type Term = keyof typeof TERMS;
export const ALL_TERMS: readonly Term[] = ["1", "t", "t^2", "t^3", "t^4", "sqrt"];

export interface CodeLayout {
  readonly vocabulary: number;
  readonly k: number;
  /** Log-probabilities that are kept as bf16; at most k. */
  readonly exact: number;
  readonly terms: readonly Term[];
  /** Bits of a residual; 0: none are kept. */
  readonly bits: number;
}

const idBits = ({ vocabulary }: CodeLayout): number => Math.max(1, Math.ceil(Math.log2(vocabulary)));
const bytesOf = (bits: number): number => Math.ceil(bits / 8);
const restOf = ({ k, exact }: CodeLayout): number => Math.max(0, k - exact);
const curveBytes = (layout: CodeLayout): number => (restOf(layout) > 0 ? 4 * layout.terms.length : 0);
const binBytes = (layout: CodeLayout): number =>
  layout.bits > 0 && restOf(layout) > 0 ? 4 + bytesOf(layout.bits * restOf(layout)) : 0;

/** Bytes of one token. */
export const tokenBytes = (layout: CodeLayout): number =>
  bytesOf(layout.k * idBits(layout)) + 2 * layout.exact + curveBytes(layout) + binBytes(layout);

/** Writes `width` bits of each number, from the lowest on. */
function packBits(values: ArrayLike<number>, width: number, into: Uint8Array): void {
  for (let i = 0, at = 0; i < values.length; i++)
    for (let bit = 0; bit < width; bit++, at++) if ((values[i]! >>> bit) & 1) into[at >> 3]! |= 1 << (at & 7);
}

function unpackBits(from: Uint8Array, width: number, count: number): Int32Array {
  const values = new Int32Array(count);
  for (let i = 0, at = 0; i < count; i++)
    for (let bit = 0; bit < width; bit++, at++) if ((from[at >> 3]! >> (at & 7)) & 1) values[i]! |= 1 << bit;
  return values;
}

const word = new DataView(new ArrayBuffer(4));

/** The nearest bf16, halves to even. */
function toBf16(value: number): number {
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function fromBf16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}

/** Columns of a curve over n ranks. */
const columnsOf = (terms: readonly Term[], n: number): number[][] =>
  terms.map((term) => Array.from({ length: n }, (_, t) => TERMS[term](n > 1 ? t / (n - 1) : 0)));

/**
 * Coefficients with the least sum of squares, by Gram-Schmidt twice over; 0 for a term that the others make already.
 */
export function fitCurve(values: readonly number[], terms: readonly Term[]): Float32Array {
  const columns = columnsOf(terms, values.length);
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  const basis: number[][] = [];
  /** Of each column in the basis: what it is made of. */
  const made: number[][] = [];
  for (const [j, column] of columns.entries()) {
    let left = [...column];
    const parts = terms.map((_, i) => (i === j ? 1 : 0));
    for (let pass = 0; pass < 2; pass++)
      for (const [i, axis] of basis.entries()) {
        const along = dot(left, axis);
        left = left.map((x, t) => x - along * axis[t]!);
        for (const [c, part] of made[i]!.entries()) parts[c]! -= along * part;
      }
    const norm = Math.sqrt(dot(left, left));
    if (norm < 1e-9 * Math.sqrt(dot(column, column)) || norm === 0) continue;
    basis.push(left.map((x) => x / norm));
    made.push(parts.map((part) => part / norm));
  }
  const fitted = new Float64Array(terms.length);
  for (const [i, axis] of basis.entries()) {
    const along = dot(values, axis);
    for (const [c, part] of made[i]!.entries()) fitted[c]! += along * part;
  }
  return Float32Array.from(fitted);
}

/** What a curve says at n ranks. */
export function curveAt(coefficients: Float32Array, terms: readonly Term[], n: number): number[] {
  const columns = columnsOf(terms, n);
  return Array.from({ length: n }, (_, t) =>
    columns.reduce((sum, column, j) => sum + coefficients[j]! * column[t]!, 0),
  );
}

/** Writes one token: k ids and their log-probabilities, in any order. */
export function packToken(
  ids: ArrayLike<number>,
  logProbs: ArrayLike<number>,
  layout: CodeLayout,
  into: Uint8Array,
): void {
  const { k, exact, terms, bits } = layout;
  const order = Array.from({ length: k }, (_, i) => i).sort((a, b) => logProbs[b]! - logProbs[a]! || ids[a]! - ids[b]!);
  const sorted = order.map((i) => logProbs[i]!);
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  let at = bytesOf(k * idBits(layout));
  packBits(
    order.map((i) => ids[i]!),
    idBits(layout),
    into.subarray(0, at),
  );
  for (let i = 0; i < exact; i++, at += 2) view.setUint16(at, toBf16(sorted[i]!), true);
  const rest = sorted.slice(exact);
  if (rest.length === 0) return;
  const coefficients = fitCurve(rest, terms);
  for (const value of coefficients) {
    view.setFloat32(at, value, true);
    at += 4;
  }
  if (bits === 0) return;
  const curve = curveAt(coefficients, terms, rest.length);
  const missed = rest.map((value, t) => value - curve[t]!);
  const half = 2 ** (bits - 1);
  const scale = Math.fround(missed.reduce((most, r) => Math.max(most, Math.abs(r)), 0) / half);
  view.setFloat32(at, scale, true);
  const bins = missed.map((r) =>
    scale > 0 ? Math.max(-half, Math.min(half - 1, Math.round(r / scale))) + half : half,
  );
  packBits(bins, bits, into.subarray(at + 4));
}

/** One token again: ids ascending, log-probabilities that sum to 1 at most, and what is left for all others. */
export function unpackToken(
  from: Uint8Array,
  layout: CodeLayout,
  nothing: number,
): { ids: Int32Array; logProbs: Float32Array; tail: number } {
  const { k, exact, terms, bits } = layout;
  const view = new DataView(from.buffer, from.byteOffset, from.byteLength);
  let at = bytesOf(k * idBits(layout));
  const ids = unpackBits(from.subarray(0, at), idBits(layout), k);
  const values: number[] = [];
  for (let i = 0; i < exact; i++, at += 2) values.push(fromBf16(view.getUint16(at, true)));
  const rest = restOf(layout);
  if (rest > 0) {
    const coefficients = Float32Array.from(terms, (_, j) => view.getFloat32(at + 4 * j, true));
    at += 4 * terms.length;
    const curve = curveAt(coefficients, terms, rest);
    const half = 2 ** (bits - 1);
    const scale = bits > 0 ? view.getFloat32(at, true) : 0;
    const bins = bits > 0 ? unpackBits(from.subarray(at + 4), bits, rest) : undefined;
    for (const [t, value] of curve.entries()) values.push(value + (bins ? (bins[t]! - half) * scale : 0));
  }
  const mass = values.reduce((sum, value) => sum + Math.exp(Math.min(0, value)), 0);
  // A curve may promise more than there is.
  const over = mass > 1 ? Math.log(mass) : 0;
  const order = [...ids.keys()].sort((a, b) => ids[a]! - ids[b]!);
  return {
    ids: Int32Array.from(order, (i) => ids[i]!),
    logProbs: Float32Array.from(order, (i) => Math.max(nothing, Math.min(0, values[i]!) - over)),
    tail: mass < 1 - 1e-7 ? Math.log1p(-mass) : nothing,
  };
}
