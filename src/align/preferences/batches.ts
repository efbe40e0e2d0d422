/** Batches of items: 2P rows of tokens, first the first sequences of all items, then the second ones. */
import { collate, type TokenBatch } from "../../data/batch.ts";
import { BatchOrder } from "../../data/order.ts";
import { type BatchSource, digestOf, type OrderChoice } from "../../run/training/batch-source.ts";
import type { Item, ItemGroup } from "./rows.ts";

export interface PreferenceBatch {
  /** 2P rows. */
  readonly tokens: TokenBatch;
  /** P */
  readonly pairs: number;
  /** Place of each item among those of all groups in order. */
  readonly numbers: readonly number[];
  readonly wanted: readonly boolean[];
}

/** A batch of items; `numbers` are their places. */
export function preferenceBatch(items: readonly Item[], numbers: readonly number[], pad: number): PreferenceBatch {
  const rows = [...items.map(({ first }) => [first]), ...items.map(({ second }) => [second])];
  return {
    tokens: collate(rows, { pad }),
    pairs: items.length,
    numbers,
    wanted: items.map(({ wanted }) => wanted),
  };
}

/** Items that are in memory, in batches of `order.batchSize` items. */
export function preferenceBatches(
  groups: readonly ItemGroup[],
  order: Omit<OrderChoice, "pack">,
  pad: number,
): BatchSource<PreferenceBatch> {
  const items = groups.flatMap((group) => group.items);
  const arrays = items.flatMap(({ first, second, wanted }) => [
    ...[first.ids, first.labels, second.ids, second.labels],
    Int32Array.of(Number(wanted)),
  ]);
  const plan = new BatchOrder({ ...order, groups, digest: digestOf(arrays) });
  return {
    groups: groups.map(({ name, items: own, tokens }) => ({ name, rows: own.length, tokens })),
    batchesPerEpoch: plan.batchesPerEpoch,
    largest() {
      const longest = items.reduce((a, b) => (lengthOf(b) > lengthOf(a) ? b : a));
      const rows = Math.min(order.batchSize, items.length);
      return preferenceBatch(Array<Item>(rows).fill(longest), Array<number>(rows).fill(items.indexOf(longest)), pad);
    },
    next() {
      const { bins, epoch } = plan.next();
      const numbers = bins.flat();
      return {
        batch: preferenceBatch(
          numbers.map((i) => items[i]!),
          numbers,
          pad,
        ),
        epoch,
      };
    },
    state: () => plan.state(),
    load: (state, what) => plan.load(state, what),
  };
}

const lengthOf = ({ first, second }: Item): number => Math.max(first.ids.length, second.ids.length);
