/** Batches for a reward model: the first answers of all items, then the second ones where items are pairs. */
import { collate, type TokenBatch } from "../../data/batch.ts";
import { BatchOrder } from "../../data/order.ts";
import { type BatchSource, digestOf, type OrderChoice } from "../../run/training/batch-source.ts";
import type { RewardGroup, RewardItem } from "./rows.ts";

export interface RewardBatch {
  /** Rows of P chosen and P rejected answers, or of R single ones. */
  readonly tokens: TokenBatch;
  /** (P) margins, or (R) scores. */
  readonly numbers: Float32Array;
}

export function rewardBatch(items: readonly RewardItem[], pad: number): RewardBatch {
  const sides = items[0]!.sequences.map((_, side) => items.map(({ sequences }) => [sequences[side]!]));
  return { tokens: collate(sides.flat(), { pad }), numbers: Float32Array.from(items, ({ number }) => number) };
}

const tokensIn = ({ sequences }: RewardItem): number => sequences.reduce((sum, { ids }) => sum + ids.length, 0);
const lengthOf = ({ sequences }: RewardItem): number => Math.max(...sequences.map(({ ids }) => ids.length));

/** Items that are in memory, in batches of `order.batchSize` items. */
export function rewardBatches(
  groups: readonly RewardGroup[],
  order: Omit<OrderChoice, "pack">,
  pad: number,
): BatchSource<RewardBatch> {
  const items = groups.flatMap((group) => group.items);
  const arrays = items.flatMap(({ sequences, number }) => [
    ...sequences.flatMap(({ ids, labels }) => [ids, labels]),
    Float32Array.of(number),
  ]);
  const counts = groups.map((group) => ({ ...group, lengths: Int32Array.from(group.items, lengthOf) }));
  const plan = new BatchOrder({ ...order, groups: counts, digest: digestOf(arrays) });
  return {
    groups: groups.map(({ name, items: own }) => ({
      ...{ name, rows: own.length },
      tokens: own.reduce((sum, item) => sum + tokensIn(item), 0),
    })),
    batchesPerEpoch: plan.batchesPerEpoch,
    largest() {
      const longest = items.reduce((a, b) => (lengthOf(b) > lengthOf(a) ? b : a));
      return rewardBatch(Array<RewardItem>(Math.min(order.batchSize, items.length)).fill(longest), pad);
    },
    next() {
      const { bins, epoch } = plan.next();
      const chosen = bins.flat().map((i) => items[i]!);
      return { batch: rewardBatch(chosen, pad), epoch };
    },
    state: () => plan.state(),
    load: (state, what) => plan.load(state, what),
  };
}
