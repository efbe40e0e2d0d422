/**
 * Hyperdimensional codes: long vectors of signs that keep likeness, in which a sum of the codes of a class, cut to its
 * signs, stands for the class. Kanerva 2009; of a network's layers as in EAR, "Efficient Model Adaptation for Continual
 * Learning at the Edge", 2023.
 *
 *   code = sign( sum_l key_l * (P_l u_l) ),  u_l = (z_l - mean_l) / |z_l - mean_l|
 *
 * P_l are fixed normal matrices (Q, d_l), key_l fixed signs (Q), both drawn by (seed, layer); means are those of known
 * rows, without which all rows of rectified layers are alike. Host, f64 sums.
 */
import { keyedNormals, keyedUnits } from "../keyed-random.ts";

export type Code = Int8Array;

/** What a code is made of: a vector for every layer. */
export type Layers = readonly ArrayLike<number>[];

/** Means of layers over rows. */
export function layerMeans(rows: readonly Layers[]): Float64Array[] {
  const means = (rows[0] ?? []).map(({ length }) => new Float64Array(length));
  for (const row of rows)
    for (const [l, z] of row.entries()) for (let i = 0; i < z.length; i++) means[l]![i]! += z[i]! / rows.length;
  return means;
}

const signOf = (sums: Float64Array): Code => Int8Array.from(sums, (x) => (x < 0 ? -1 : 1));

/** Makes codes of one length. */
export class Hypercoder {
  readonly bits: number;
  readonly #means: readonly Float64Array[];
  readonly #projections: readonly Float32Array[];

  /** `means` of known rows, one a layer. 4 bytes for each bit and number of a layer. */
  constructor(means: readonly Float64Array[], { bits, seed }: { readonly bits: number; readonly seed: number }) {
    this.bits = bits;
    this.#means = means;
    this.#projections = means.map(({ length }, l) => {
      const projection = keyedNormals(bits * length, 1, seed, `hypervector ${l}`);
      // The key of a layer turns whole rows of its matrix.
      const unit = keyedUnits(seed, `hypervector key ${l}`);
      for (let q = 0; q < bits; q++)
        if (unit() < 0.5) for (let i = 0; i < length; i++) projection[q * length + i]! *= -1;
      return projection;
    });
  }

  code(layers: Layers): Code {
    const sums = new Float64Array(this.bits);
    for (const [l, z] of layers.entries()) {
      const mean = this.#means[l]!;
      const moved = Float64Array.from(z, (x, i) => x - mean[i]!);
      const length = Math.sqrt(moved.reduce((sum, x) => sum + x * x, 0));
      if (length === 0) continue;
      const projection = this.#projections[l]!;
      const width = moved.length;
      for (let q = 0; q < this.bits; q++) {
        let sum = 0;
        for (let i = 0; i < width; i++) sum += projection[q * width + i]! * moved[i]!;
        sums[q]! += sum / length;
      }
    }
    return signOf(sums);
  }
}

export interface Nearest {
  readonly name: string;
  /** Cosine, from -1 to 1. */
  readonly score: number;
}

/** Sums of codes by name. The order in which codes come does not matter. */
export class CodeBook {
  readonly #sums = new Map<string, Float64Array>();
  #signs = new Map<string, Code>();

  add(name: string, code: Code): void {
    const sums = this.#sums.get(name) ?? new Float64Array(code.length);
    for (const [q, sign] of code.entries()) sums[q]! += sign;
    this.#sums.set(name, sums);
    this.#signs.delete(name);
  }

  get names(): string[] {
    return [...this.#sums.keys()];
  }

  /** The prototype that a code is most like, the first of equals. Throws RangeError where there is none. */
  nearest(code: Code): Nearest {
    let found: Nearest | undefined;
    for (const [name, sums] of this.#sums) {
      const signs = this.#signs.get(name) ?? signOf(sums);
      this.#signs.set(name, signs);
      let dot = 0;
      for (let q = 0; q < code.length; q++) dot += code[q]! * signs[q]!;
      const score = dot / code.length;
      if (!found || score > found.score) found = { name, score };
    }
    if (!found) throw new RangeError("there are no prototypes");
    return found;
  }
}

/** The value below which a share of the values lie, by the nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
