/**
 * Keys of a key-value head, learnt from rows without labels: k-means of each head's projections by moving averages.
 *
 *   n_k <- g n_k + (1 - g) count_k,  s_k <- g s_k + (1 - g) sum of u of key k,  key_k = s_k / n'_k
 *
 * n' is n with Laplace's smoothing. Keys begin at rows; one that is chosen less than a tenth as often as the mean of
 * its head begins anew at another row. Träuble et al., ICML 2023, https://arxiv.org/abs/2207.11240, Section 3
 */
import { Random } from "../../data/random.ts";
import { permutation } from "../../data/shuffle.ts";
import { KEY_VALUE, type KeyValueHead } from "../../model/blocks/key-value-head.ts";
import { Programs } from "../../run/programs.ts";
import { nearestKeys } from "../../tensor/ops/key-value.ts";
import { linear } from "../../tensor/ops/linear.ts";
import type { Program } from "../../tensor/program.ts";
import type { Stream } from "./contract.ts";

export interface KeyLearning {
  readonly epochs: number;
  /** g. */
  readonly decay: number;
}

/** Rows of a pass through the projections. */
const BATCH = 256;
/** Share of the mean count below which a key begins anew. */
const DEAD = 0.1;
const SMOOTHING = 1e-5;

/** A head's keys as averages, on the host: C K numbers n, and C K D numbers s. */
export interface KeyAverages {
  readonly n: Float64Array;
  readonly s: Float64Array;
}

/** What one batch says: projections (rows, C, D), and the place of the nearest key (rows, C). */
export interface KeyBatch {
  readonly rows: number;
  readonly u: Float32Array;
  readonly places: Int32Array;
}

/** Keys that begin at these rows' projections; rows are taken again where there are fewer than keys. */
export function beginAt({ rows, u }: Pick<KeyBatch, "rows" | "u">, head: KeyValueHead): KeyAverages {
  const { codebooks, keys, key_size: size } = head;
  const s = new Float64Array(codebooks * keys * size);
  for (let c = 0; c < codebooks; c++)
    for (let k = 0; k < keys; k++)
      for (let j = 0; j < size; j++) s[(c * keys + k) * size + j] = u[((k % rows) * codebooks + c) * size + j]!;
  return { n: new Float64Array(codebooks * keys).fill(1), s };
}

/** Takes one batch into the averages. */
export function follow(averages: KeyAverages, batch: KeyBatch, head: KeyValueHead, decay: number): void {
  const { codebooks, keys, key_size: size } = head;
  const { n, s } = averages;
  for (let i = 0; i < n.length; i++) n[i]! *= decay;
  for (let i = 0; i < s.length; i++) s[i]! *= decay;
  for (let i = 0; i < batch.rows * codebooks; i++) {
    const key = (i % codebooks) * keys + batch.places[i]!;
    n[key]! += 1 - decay;
    for (let j = 0; j < size; j++) s[key * size + j]! += (1 - decay) * batch.u[i * size + j]!;
  }
}

/** Lets keys that hardly any row chooses begin anew at rows of the batch, drawn by `random`. */
export function revive({ n, s }: KeyAverages, { rows, u }: KeyBatch, head: KeyValueHead, random: Random): void {
  const { codebooks, keys, key_size: size } = head;
  for (let c = 0; c < codebooks; c++) {
    const least = (DEAD * n.subarray(c * keys, (c + 1) * keys).reduce((a, b) => a + b)) / keys;
    for (let key = c * keys; key < (c + 1) * keys; key++) {
      if (n[key]! >= least) continue;
      const row = random.below(rows);
      n[key] = least;
      for (let j = 0; j < size; j++) s[key * size + j] = least * u[(row * codebooks + c) * size + j]!;
    }
  }
}

/** The keys (C, K, D) that averages stand for. */
export function keysOf({ n, s }: KeyAverages, { codebooks, keys, key_size: size }: KeyValueHead): Float32Array {
  const found = new Float32Array(s.length);
  for (let c = 0; c < codebooks; c++) {
    const total = n.subarray(c * keys, (c + 1) * keys).reduce((a, b) => a + b);
    for (let key = c * keys; key < (c + 1) * keys; key++) {
      const smoothed = ((n[key]! + SMOOTHING) / (total + keys * SMOOTHING)) * total;
      for (let j = 0; j < size; j++) found[key * size + j] = s[key * size + j]! / smoothed;
    }
  }
  return found;
}

/** Learns the keys of the model's head from features (N, width) of rows, and writes them. */
export async function learnKeys(
  { gpu, model, seed, signal }: Pick<Stream<unknown>, "gpu" | "model" | "seed" | "signal">,
  features: readonly Float32Array[],
  head: KeyValueHead,
  { epochs, decay }: KeyLearning,
): Promise<void> {
  const { codebooks, key_size: size, keys } = head;
  const [weights, table] = [model.parameters.get(KEY_VALUE.projections)!, model.parameters.get(KEY_VALUE.keys)!];
  const [n, width] = [Math.min(BATCH, features.length), features[0]!.length];
  const programs = new Programs(gpu);
  const look = async (program: Program, rows: Uint32Array): Promise<KeyBatch> => {
    const x = new Float32Array(n * width);
    for (const [i, row] of rows.entries()) x.set(features[row]!, i * width);
    program.write("features", x);
    program.run();
    const [u, places] = await Promise.all([program.read("u"), program.readWords("places")]);
    return { rows: rows.length, u, places: new Int32Array(places.buffer, places.byteOffset, places.length) };
  };
  try {
    const { program } = await programs.get("keys", (rec) => {
      const w = rec.reshape(rec.parameter(weights), [codebooks * size, width]);
      const u = linear(rec, rec.input("features", [n, width]), w);
      rec.output("u", u);
      rec.output("places", nearestKeys(rec, u, rec.parameter(table)));
    });
    const first = permutation(features.length, seed, 0, "first keys").subarray(0, keys);
    const found = new Float32Array(first.length * codebooks * size);
    for (let at = 0; at < first.length; at += n) {
      const { u, rows } = await look(program, first.subarray(at, at + n));
      found.set(u.subarray(0, rows * codebooks * size), at * codebooks * size);
    }
    const averages = beginAt({ rows: first.length, u: found }, head);
    table.write(keysOf(averages, head));
    const random = new Random(seed, "keys begin anew");
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = permutation(features.length, seed, epoch, "keys");
      for (let at = 0; at < order.length; at += n) {
        signal.throwIfAborted();
        const batch = await look(program, order.subarray(at, at + n));
        follow(averages, batch, head, decay);
        revive(averages, batch, head, random);
        table.write(keysOf(averages, head));
      }
    }
  } finally {
    programs.free();
  }
}
