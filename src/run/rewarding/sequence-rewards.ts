/** What the head of a reward model says of sequences of tokens, many at once. */
import { batchKey, collate } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { notFinite } from "../not-finite.ts";
import { Programs } from "../programs.ts";

export interface RewardOptions {
  /** Names the model in messages. */
  readonly ref: string;
  /** Sequences that are run at once. */
  readonly rows: number;
  /** Id that fills up batches. */
  readonly pad: number;
  readonly signal?: AbortSignal | undefined;
  /** Hears how many sequences are done. */
  readonly done?: ((sequences: number) => void) | undefined;
  /** Programs to use and keep; made for this call when left out. */
  readonly programs?: Programs | undefined;
}

/**
 * Logits of every sequence, in the order of the sequences: those of the head (labels), or of a head of tokens
 * (tokens, labels). Throws UserError for one that is not finite.
 */
export async function headLogits(
  model: Model,
  sequences: readonly Sequence[],
  { ref, rows, pad, signal, done, programs: kept }: RewardOptions,
): Promise<Float32Array[]> {
  const programs = kept ?? new Programs(model.gpu);
  const { outputs: labels } = model.sizes;
  const found: Float32Array[] = [];
  // Sequences of like length share a batch; the order decides nothing else.
  const sorted = [...sequences.keys()].sort((a, b) => sequences[b]!.ids.length - sequences[a]!.ids.length);
  try {
    for await (const part of inBatches(sorted, rows)) {
      signal?.throwIfAborted();
      const batch = collate(
        part.map((i) => [sequences[i]!]),
        { pad },
      );
      const { program } = await programs.get(batchKey(batch), (rec) => {
        const { hidden, head } = model.record(rec, recordInputs(rec, batch));
        rec.output("logits", head(hidden));
      });
      fillInputs(program, batch);
      await program.start();
      const logits = await program.read("logits");
      const width = logits.length / part.length;
      for (const [row, i] of part.entries()) {
        const { ids, place } = sequences[i]!;
        const size = width === labels ? labels : ids.length * labels;
        const own = logits.slice(row * width, row * width + size);
        if (!own.every(Number.isFinite)) throw notFinite(ref, place);
        found[i] = own;
      }
      done?.(part.length);
    }
  } finally {
    if (kept === undefined) programs.free();
  }
  return found;
}
