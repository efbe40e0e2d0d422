/**
 * Mixup of what the first block reads: the embedded tokens of a text, the patches of an image, or the numbers of a row.
 * Guo et al. 2019, https://arxiv.org/abs/1905.08941, after Zhang et al. 2018, https://arxiv.org/abs/1710.09412
 *
 *   m_it = lambda_i e_it + (1 - lambda_i) e_jt
 *
 * Where one of two texts has no token t, the other's is taken whole, and m has a token where either has one; so padding
 * is never mixed in.
 */
import type { ExampleBatch } from "../../data/batch.ts";
import { add, mul } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillLastPlaces, lastPlaces } from "../batch-programs.ts";

/** What architectures call the input of their first block. */
export const FIRST = "hidden.0";

const [PLACES, OWN, OTHERS] = ["mixup places", "mixup own", "mixup others"];

/** Mixed rows of x, (rows * T, C). */
export function mixedEmbeddings(rec: Recorder, x: Tensor): Tensor {
  const n = x.shape[0]!;
  const partners = embedding(rec, rec.input(PLACES, [n], "i32"), x);
  return add(rec, mul(rec, x, rec.input(OWN, [n, 1])), mul(rec, partners, rec.input(OTHERS, [n, 1])));
}

export interface Pairing {
  /** By row: another one, and the share of itself that it keeps. */
  readonly partners: Int32Array;
  readonly shares: Float32Array;
}

/** By place of T of each row: the partner's place, and what either counts there. `has`: which places are tokens. */
export function placesOf({ partners, shares }: Pairing, length: number, has: (row: number, at: number) => boolean) {
  const n = partners.length * length;
  const [places, own, others] = [new Int32Array(n), new Float32Array(n), new Float32Array(n)];
  for (const [row, partner] of partners.entries())
    for (let at = 0; at < length; at++) {
      const place = row * length + at;
      places[place] = partner * length + at;
      const [mine, theirs] = [has(row, at), has(partner, at)];
      own[place] = mine === theirs ? shares[row]! : mine ? 1 : 0;
      others[place] = 1 - own[place]!;
    }
  return { places, own, others };
}

/** Fills what `mixedEmbeddings` declared, and of texts which places are tokens. */
export function fillMixedEmbeddings(program: Program, batch: ExampleBatch, pairing: Pairing): void {
  const length = program.inputShape(PLACES)![0]! / batch.rows;
  const segments = "tokens" in batch ? batch.tokens.segments : undefined;
  const has = (row: number, at: number) => segments === undefined || segments[row * length + at]! > 0;
  const { places, own, others } = placesOf(pairing, length, has);
  program.write(PLACES, places);
  program.write(OWN, own);
  program.write(OTHERS, others);
  if (!segments) return;
  if (program.takes("segments"))
    program.write(
      "segments",
      segments.map((segment, place) => Math.max(segment, segments[places[place]!]!)),
    );
  fillLastPlaces(program, (padding) => {
    const lasts = lastPlaces(batch, padding);
    return lasts.map((last, row) => Math.max(last, row * length + (lasts[pairing.partners[row]!]! % length)));
  });
}
