/**
 * Two tokenizations of one text, side by side: the places that both have in common, and the spans between these, which
 * are a group of tokens in either.
 */
import { collate, type TokenBatch } from "../data/batch.ts";
import { IGNORED } from "../data/rows.ts";
import type { Sequence } from "../data/sequences.ts";
import { targetsOf } from "../data/targets.ts";
import type { Tokenizer } from "../data/tokenizer.ts";

type Reader = Pick<Tokenizer, "decoder">;

/** A text, and how much of it (UTF-16 units) is there after each token. Special tokens add nothing. */
function reading(tokenizer: Reader, ids: Int32Array): { text: string; ends: number[] } {
  const reader = tokenizer.decoder({ skipSpecial: true });
  let text = "";
  const ends = Array.from(ids, (id) => {
    text += reader.push(id);
    return text.length;
  });
  return { text, ends };
}

/**
 * For every token of `own` the token of `other` after which the same text has been read, or -1. A token that ends
 * inside a character ends nowhere.
 */
export function samePlaces(own: Int32Array, reader: Reader, other: Int32Array, otherReader: Reader): Int32Array {
  const [a, b] = [reading(reader, own), reading(otherReader, other)];
  let same = 0;
  while (same < a.text.length && same < b.text.length && a.text[same] === b.text[same]) same++;
  const at = new Map<number, number>();
  for (const [j, end] of b.ends.entries()) if (!at.has(end)) at.set(end, j);
  return Int32Array.from(a.ends, (end, i) => (end <= same && end !== a.ends[i - 1] ? (at.get(end) ?? -1) : -1));
}

/** Rows of logits that predict the tokens of a span, from the first to the last, in one tokenization and the other. */
export interface Span {
  readonly own: readonly [first: number, last: number];
  readonly other: readonly [first: number, last: number];
}

/**
 * The spans between neighbouring places of `samePlaces`: the tokens after one place up to the next, as the rows that
 * predict them.
 *
 *   spansOf(Int32Array.of(0, -1, 2)); // [{ own: [0, 1], other: [0, 1] }]: two tokens of either
 */
export function spansOf(places: Int32Array): Span[] {
  const met = [...places.keys()].filter((i) => places[i]! >= 0);
  return met.slice(1).flatMap((end, k) => {
    const begin = met[k]!;
    const [from, to] = [places[begin]!, places[end]!];
    // Of a text that a later token repeats nothing follows.
    return to > from ? [{ own: [begin, end - 1] as const, other: [from, to - 1] as const }] : [];
  });
}

/** The texts of a batch as another tokenizer has them. */
export interface OtherTokens {
  readonly batch: TokenBatch;
  /** For every position of the student's batch the row of the other's N at the same place of the text, or -1. */
  readonly places: Int32Array;
  /** The student's targets, -100 where the other has no such place. */
  readonly targets: Int32Array;
}

export interface OtherTokenizer {
  readonly own: Tokenizer;
  readonly other: Tokenizer;
  /** Most tokens of a row of the other's. */
  readonly maxLength: number;
}

/** A document in the other's tokens. */
interface Reread {
  readonly text: Sequence;
  /** Of `samePlaces`. */
  readonly places: Int32Array;
}

/** Reads documents in the other's tokens, each once. */
function rereader({ own, other, maxLength }: OtherTokenizer) {
  const pad = other.pad ?? 0;
  const known = new WeakMap<Sequence, Reread>();
  const read = (sequence: Sequence): Reread => {
    const ids = other.encode(own.decode(sequence.ids, { skipSpecial: true }), { special: true }).slice(0, maxLength);
    const some = ids.length > 0 ? ids : Int32Array.of(pad); // a model reads one token at least
    const text = { ...sequence, ids: some, labels: some };
    const found = { text, places: samePlaces(sequence.ids, own, some, other) };
    known.set(sequence, found);
    return found;
  };
  return (batch: TokenBatch) => {
    const texts = batch.documents.map(({ sequence }) => known.get(sequence) ?? read(sequence));
    const seen = collate(
      texts.map(({ text }) => [text]),
      { pad },
    );
    return { texts, seen };
  };
}

/** Gives the documents of batches in the other's tokens, a row for each. What the other cuts off has no place. */
export function otherTokens(given: OtherTokenizer): (batch: TokenBatch) => OtherTokens {
  const reread = rereader(given);
  return (batch) => {
    const { texts, seen } = reread(batch);
    const places = new Int32Array(batch.rows * batch.length).fill(-1);
    for (const [i, { row, start }] of batch.documents.entries()) {
      for (const [t, place] of texts[i]!.places.entries())
        if (place >= 0) places[row * batch.length + start + t] = i * seen.length + place;
    }
    const targets = targetsOf(batch);
    return { batch: seen, places, targets: targets.map((target, i) => (places[i]! < 0 ? IGNORED : target)) };
  };
}

/** The same with spans: every span is compared at one row of either, times what its other rows say of its tokens. */
export interface OtherSpans extends OtherTokens {
  /** Most rows of a span besides the one that stands for it; at least 1, a power of two. */
  readonly most: number;
  /** (N, most) rows of the student's N whose tokens' probabilities go into the span of a row; -1: none. */
  readonly ownRest: Int32Array;
  /** (N, most) rows of the other's N, likewise. */
  readonly otherRest: Int32Array;
}

/**
 * Which row stands for a span: `observed` the first, whose distribution is followed by the tokens that came, `bayesian`
 * the last, preceded by them.
 */
export type SpanMerge = "observed" | "bayesian";

/** Gives the spans of batches. A span counts where the labels of all of its tokens do. */
export function otherSpans(given: OtherTokenizer, merge: SpanMerge): (batch: TokenBatch) => OtherSpans {
  const reread = rereader(given);
  const parted = ([first, last]: readonly [number, number]) => {
    const rows = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    return merge === "observed" ? { at: rows[0]!, rest: rows.slice(1) } : { at: rows.at(-1)!, rest: rows.slice(0, -1) };
  };
  return (batch) => {
    const { texts, seen } = reread(batch);
    const labels = targetsOf(batch);
    const found = batch.documents.flatMap(({ row, start }, i) => {
      const [own, other] = [row * batch.length + start, i * seen.length];
      return spansOf(texts[i]!.places).flatMap((span) => {
        const [mine, theirs] = [parted(span.own), parted(span.other)];
        if ([mine.at, ...mine.rest].some((at) => labels[own + at]! < 0)) return [];
        const shifted = (rows: readonly number[], by: number) => rows.map((at) => at + by);
        return [
          {
            ...{ at: own + mine.at, place: other + theirs.at },
            ...{ own: shifted(mine.rest, own), other: shifted(theirs.rest, other) },
          },
        ];
      });
    });
    const n = batch.rows * batch.length;
    const longest = found.reduce((most, { own, other }) => Math.max(most, own.length, other.length), 1);
    const most = 2 ** Math.ceil(Math.log2(longest));
    const places = new Int32Array(n).fill(-1);
    const targets = new Int32Array(n).fill(IGNORED);
    const [ownRest, otherRest] = [new Int32Array(n * most).fill(-1), new Int32Array(n * most).fill(-1)];
    for (const { at, place, own, other } of found) {
      places[at] = place;
      targets[at] = labels[at]!;
      ownRest.set(own, at * most);
      otherRest.set(other, at * most);
    }
    return { batch: seen, places, targets, most, ownRest, otherRest };
  };
}
