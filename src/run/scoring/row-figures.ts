/** How hard and how sure rows are under a model, token by token, in the mean over what counts. */
import { collate } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { Scorer } from "./scorer.ts";

/** Of one row; NaN where no token counts. */
export interface RowFigures {
  /** Nats per token: the logarithm of the perplexity. */
  readonly loss: number;
  /** Nats of what the model holds possible. */
  readonly entropy: number;
  /** |softmax - onehot|. Paul et al. 2021, https://arxiv.org/abs/2107.07075 */
  readonly el2n: number;
}

export async function rowFigures(
  model: Model,
  sequences: readonly Sequence[],
  { rows, pad, signal }: { readonly rows: number; readonly pad: number; readonly signal: AbortSignal },
): Promise<RowFigures[]> {
  const scorer = new Scorer(model, undefined, { spread: true });
  const figures: RowFigures[] = [];
  try {
    for await (const part of inBatches(sequences, rows)) {
      signal.throwIfAborted();
      const batch = collate(
        part.map((sequence) => [sequence]),
        { pad },
      );
      const { targets, nll, spread } = await scorer.score(batch);
      for (let row = 0; row < batch.rows; row++) {
        let [counted, loss, entropy, el2n] = [0, 0, 0, 0];
        for (let at = row * batch.length; at < (row + 1) * batch.length; at++) {
          if (targets[at]! < 0) continue;
          counted++;
          loss += nll[at]!;
          entropy += spread!.entropy[at]!;
          // sum_v (p_v - [v = y])^2 = sum_v p_v^2 - 2 p_y + 1
          el2n += Math.sqrt(Math.max(0, spread!.squares[at]! - 2 * Math.exp(-nll[at]!) + 1));
        }
        figures.push({ loss: loss / counted, entropy: entropy / counted, el2n: el2n / counted });
      }
    }
  } finally {
    await scorer.free();
  }
  return figures;
}
