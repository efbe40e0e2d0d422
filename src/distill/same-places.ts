/** Where two tokenizations of one text stand at the same place. */
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

/** Gives the documents of batches in the other's tokens, a row for each. What the other cuts off has no place. */
export function otherTokens({ own, other, maxLength }: OtherTokenizer): (batch: TokenBatch) => OtherTokens {
  const pad = other.pad ?? 0;
  const known = new WeakMap<Sequence, { readonly text: Sequence; readonly places: Int32Array }>();
  const read = (sequence: Sequence) => {
    const ids = other.encode(own.decode(sequence.ids, { skipSpecial: true }), { special: true }).slice(0, maxLength);
    const some = ids.length > 0 ? ids : Int32Array.of(pad); // a model reads one token at least
    const text = { ...sequence, ids: some, labels: some };
    const found = { text, places: samePlaces(sequence.ids, own, some, other) };
    known.set(sequence, found);
    return found;
  };
  return (batch) => {
    const texts = batch.documents.map(({ sequence }) => known.get(sequence) ?? read(sequence));
    const seen = collate(
      texts.map(({ text }) => [text]),
      { pad },
    );
    const places = new Int32Array(batch.rows * batch.length).fill(-1);
    for (const [i, { row, start }] of batch.documents.entries()) {
      for (const [t, place] of texts[i]!.places.entries())
        if (place >= 0) places[row * batch.length + start + t] = i * seen.length + place;
    }
    const targets = targetsOf(batch);
    return { batch: seen, places, targets: targets.map((target, i) => (places[i]! < 0 ? IGNORED : target)) };
  };
}
