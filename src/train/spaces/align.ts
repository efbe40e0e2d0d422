/**
 * Alternating one-way alignment of two spaces by pairs of vectors: even steps teach the way from A to B, odd ones that
 * from B to A, through one connector.
 */
import { permutation } from "../../data/shuffle.ts";
import { type Connector, DIRECTIONS, type Direction, gathered } from "./connector.ts";
import { retrieval, type SpaceLoss } from "./losses.ts";

/** Paired vectors, (count, width a) and (count, width b). */
export interface Pairs {
  readonly count: number;
  readonly widths: { readonly a: number; readonly b: number };
  readonly a: Float64Array;
  readonly b: Float64Array;
}

/** Some of the pairs. */
export const pairsAt = ({ widths, a, b }: Pairs, places: ArrayLike<number>): Pairs => ({
  count: places.length,
  widths,
  a: gathered(a, places, widths.a),
  b: gathered(b, places, widths.b),
});

/** What a direction reads, and what it is to give. */
const endsOf = ({ a, b }: Pairs, direction: Direction): readonly [Float64Array, Float64Array] =>
  direction === "a_to_b" ? [a, b] : [b, a];

export interface Alignment {
  readonly steps: number;
  readonly batch: number;
  readonly loss: SpaceLoss;
  /** Weight of the term of load. */
  readonly balance: number;
  /** Those that take turns. */
  readonly directions: readonly Direction[];
  readonly seed: number;
}

/** Trains; yields direction and loss of each step, after it. Batches are keyed by the step. */
export function* align(connector: Connector, pairs: Pairs, given: Alignment) {
  const { steps, batch, loss, balance, directions, seed } = given;
  const size = Math.min(batch, pairs.count);
  const turns = Math.floor(pairs.count / size);
  let epoch = -1;
  let order: Uint32Array = new Uint32Array();
  for (let step = 0; step < steps; step++) {
    const direction = directions[step % directions.length]!;
    // A batch serves each direction once.
    const place = Math.floor(step / directions.length);
    if (epoch !== Math.floor(place / turns)) {
      epoch = Math.floor(place / turns);
      order = permutation(pairs.count, seed, epoch, "pairs of spaces");
    }
    const from = (place % turns) * size;
    const own = pairsAt(pairs, order.subarray(from, from + size));
    const [x, target] = endsOf(own, direction);
    const sent = connector.send(direction, x, size);
    const measured = loss(sent.output, target, size);
    connector.descend(sent, measured.slopes, balance);
    yield { step: step + 1, direction, loss: measured.loss };
  }
}

/** Loss and retrieval@1 of both directions. */
export function measure(connector: Connector, pairs: Pairs, loss: SpaceLoss) {
  const [ab, ba] = DIRECTIONS.map((direction) => {
    const [x, target] = endsOf(pairs, direction);
    const y = connector.map(direction, x, pairs.count);
    return { loss: loss(y, target, pairs.count).loss, retrieval: retrieval(y, target, pairs.count) };
  });
  return { a_to_b: ab!, b_to_a: ba! };
}
