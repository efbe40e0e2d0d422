/**
 * Rows that are sometimes shown with the prompt of another row of their group, so that an answer is learnt from what
 * the prompts of its kind have in common, not from what one of them has by accident: condition shuffling of Yu et al.
 * 2024, FaceChain-FACT, https://arxiv.org/abs/2410.12312
 */
import { collate, type TokenBatch } from "../../data/batch.ts";
import type { SequenceData } from "../../data/dataset.ts";
import { Random } from "../../data/random.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { BatchSource } from "./batch-source.ts";
import { EVEN, lastPlace } from "./prompt-course.ts";
import { type ChangeOptions, weighing } from "./prompt-drop.ts";

/** Place of the first token that counts; undefined where no prompt comes before it. */
export function answerAt({ labels }: Sequence): number | undefined {
  const at = labels.findIndex((label, i) => i > 0 && label >= 0);
  return at > 0 && labels.subarray(1, at).every((label) => label < 0) && labels[0]! < 0 ? at : undefined;
}

/** The answer of one row after the prompt of another; undefined where one of them has no prompt. */
export function withPromptOf(sequence: Sequence, other: Sequence): Sequence | undefined {
  const [own, theirs] = [answerAt(sequence), answerAt(other)];
  if (own === undefined || theirs === undefined) return undefined;
  const joined = (a: Int32Array, b: Int32Array) => Int32Array.from([...a.subarray(0, theirs), ...b.subarray(own)]);
  const made = { ids: joined(other.ids, sequence.ids), labels: joined(other.labels, sequence.labels) };
  if (!sequence.marks && !other.marks) return { ...sequence, ...made };
  const marksOf = ({ marks, ids }: Sequence) => marks ?? new Int32Array(ids.length);
  return { ...sequence, ...made, marks: joined(marksOf(other), marksOf(sequence)) };
}

/**
 * The batches of `source`, each row with a prompt of its group with this chance, by seed, epoch and row. Where that
 * made it longer than the longest row, or than its place among others in a packed row, it stays as it is.
 */
export function promptShuffled(
  source: BatchSource<TokenBatch> & { readonly data: Pick<SequenceData, "sequences"> },
  { chance, seed, pad, course = EVEN }: ChangeOptions,
): BatchSource<TokenBatch> {
  const groups = Map.groupBy(source.data.sequences, ({ group }) => group);
  const longest = source.data.sequences.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  return {
    ...source,
    async next() {
      const { batch, epoch } = await source.next();
      const place = lastPlace(source);
      const [now, weight] = [chance * course.share(place), course.weight(place)];
      const bins: Sequence[][] = Array.from({ length: batch.rows }, () => []);
      for (const { sequence, row } of batch.documents) {
        const random = new Random(seed, "another prompt", epoch, sequence.place);
        const other = random.uniform() < now ? random.pick(groups.get(sequence.group)!) : undefined;
        const made = other && withPromptOf(sequence, other);
        const room = batch.packed ? sequence.ids.length : longest;
        bins[row]!.push(made && made.ids.length <= room ? weighing(made, weight) : sequence);
      }
      return { batch: collate(bins, { pad }), epoch };
    },
  };
}
