/** The loss of every row under a model as it is: what orders, selects and compares rows. */
import { type Batch, collate, stackExamples } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Example } from "../../data/examples.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { countedLoss } from "./mean-loss.ts";
import { Scorer } from "./scorer.ts";

export interface RowLossOptions {
  /** Rows that are run at once. */
  readonly rows: number;
  readonly signal: AbortSignal;
  /** Token that fills up; 0 when left out. It never counts. */
  readonly pad?: number;
}

export interface RowLoss {
  /** -log likelihood of what counts, in nats; 0 where nothing does. */
  readonly sum: number;
  /** Tokens, or the example, that count. */
  readonly counted: number;
  /** Nats per counted token; NaN, which is unknown, where nothing counts. */
  readonly mean: number;
}

const isText = (rows: readonly Sequence[] | readonly Example[]): rows is readonly Sequence[] => "ids" in rows[0]!;

const batchOf = (rows: readonly Sequence[] | readonly Example[], pad: number): Batch =>
  isText(rows)
    ? collate(
        rows.map((sequence) => [sequence]),
        { pad },
      )
    : stackExamples(rows);

/**
 * Losses of sequences or examples, in order.
 *
 *   const losses = await rowLosses(scorer, sequences, { rows: 16, signal });
 *   const known = losses.filter(({ counted }) => counted > 0);
 */
export async function rowLosses(
  scorer: Scorer,
  items: readonly Sequence[] | readonly Example[],
  { rows, signal, pad = 0 }: RowLossOptions,
): Promise<RowLoss[]> {
  const losses: RowLoss[] = [];
  for await (const part of inBatches<Sequence | Example>(items, rows)) {
    signal.throwIfAborted();
    const batch = batchOf(part as Sequence[] | Example[], pad);
    const scores = await scorer.score(batch);
    for (let row = 0; row < batch.rows; row++) {
      const { sum, counted } = countedLoss(scores, row * batch.length, (row + 1) * batch.length);
      losses.push({ sum, counted, mean: sum / counted });
    }
  }
  return losses;
}

/** -log likelihoods of sequences, in nats, so that no second model is held while training. */
export async function likelihoods(
  model: Model,
  sequences: readonly Sequence[],
  options: RowLossOptions,
): Promise<number[]> {
  const scorer = new Scorer(model);
  const losses = await rowLosses(scorer, sequences, options);
  await scorer.free();
  return losses.map(({ sum }) => sum);
}
