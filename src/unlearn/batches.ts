/**
 * Batches of unlearning: rows to forget, each once an epoch, beside as many rows to retain, drawn uniformly with
 * replacement (the way of open-unlearning). With --anchor retain the two change places. What is drawn is a function of
 * (seed, place of the batch).
 */
import { type Batch, collate, isTokens, largestExample, stackExamples } from "../data/batch.ts";
import type { SequenceData } from "../data/dataset.ts";
import type { Example } from "../data/examples.ts";
import { Random } from "../data/random.ts";
import { IGNORED } from "../data/rows.ts";
import type { Sequence } from "../data/sequences.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { RowNumbers } from "./capability.ts";

export interface UnlearnBatch {
  readonly forget: Batch;
  readonly retain?: Batch;
  /** Rows of the decoupled prompts. */
  readonly pd?: Batch;
  /** Which rows to forget are those of `forget`. */
  readonly rows: RowNumbers;
}

/** Rows of one set that can be drawn at random. */
export interface Pool {
  draw(count: number, ...key: readonly (string | number)[]): Batch;
  largest(count: number): Batch;
}

export const longestOf = (sequences: readonly Sequence[]): Sequence =>
  sequences.reduce((a, b) => (b.ids.length > a.ids.length ? b : a));

export function sequencePool(sequences: readonly Sequence[], seed: number, pad: number, name: string): Pool {
  const longest = longestOf(sequences);
  return {
    draw(count, ...key) {
      const random = new Random(seed, name, ...key);
      return collate(
        Array.from({ length: count }, () => [random.pick(sequences)]),
        { pad },
      );
    },
    largest: (count) =>
      collate(
        Array.from({ length: count }, () => [longest]),
        { pad },
      ),
  };
}

export function examplePool(examples: readonly Example[], seed: number, name: string): Pool {
  const largest = largestExample(examples);
  return {
    draw(count, ...key) {
      const random = new Random(seed, name, ...key);
      return stackExamples(Array.from({ length: count }, () => random.pick(examples)));
    },
    largest: (count) => stackExamples(Array.from({ length: count }, () => largest)),
  };
}

/** What is drawn beside the batches of the anchor. */
export interface Pairing {
  readonly drawn: Pool | undefined;
  readonly pd: Pool | undefined;
  /** Whether the anchor is the retain set. */
  readonly swap: boolean;
  /** Numbers of the rows to forget. */
  readonly numbers: ReadonlyMap<Sequence, number>;
}

/** Pairs the batches of one set with draws from the others. */
export function pairedBatches(
  anchor: BatchSource<Batch>,
  { drawn, pd, swap, numbers }: Pairing,
): BatchSource<UnlearnBatch> {
  const pair = (own: Batch, other: Batch | undefined, third: Batch | undefined, planned: boolean): UnlearnBatch => {
    const [forget, retain] = swap ? [other!, own] : [own, other];
    const sequences = isTokens(forget) ? forget.documents.map(({ sequence }) => sequence) : [];
    const rows = sequences.map((sequence) => (planned ? undefined : numbers.get(sequence)));
    return { forget, ...(retain ? { retain } : {}), ...(third ? { pd: third } : {}), rows };
  };
  return {
    groups: anchor.groups,
    batchesPerEpoch: anchor.batchesPerEpoch,
    largest() {
      const own = anchor.largest();
      return pair(own, drawn?.largest(own.rows), pd?.largest(own.rows), true);
    },
    async next() {
      const { epoch: e, batch: b } = anchor.state();
      const { batch, epoch } = await anchor.next();
      return { batch: pair(batch, drawn?.draw(batch.rows, e, b), pd?.draw(batch.rows, e, b), false), epoch };
    },
    state: () => anchor.state(),
    load: (state, what) => anchor.load(state, what),
  };
}

/** The same groups of rows with other sequences, several to a row perhaps, in the order of the groups. */
export const withSequences = (data: SequenceData, sequences: readonly Sequence[]): SequenceData => ({
  sequences,
  groups: data.groups.map((group, g) => {
    const own = sequences.filter((sequence) => sequence.group === g);
    return { ...group, sequences: own.length, lengths: Int32Array.from(own, ({ ids }) => ids.length) };
  }),
});

/** Sequences whose first `skip` counted tokens count no more. */
export const skipped = (sequences: readonly Sequence[], skip: number): Sequence[] =>
  skip === 0
    ? [...sequences]
    : sequences.map((sequence) => {
        let left = skip;
        const labels = sequence.labels.map((label, i) => (i > 0 && label !== IGNORED && left-- > 0 ? IGNORED : label));
        return { ...sequence, labels };
      });
