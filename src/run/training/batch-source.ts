/** Batches of a training, for language models and classifiers alike: what comes next, and where the order stands. */
import {
  arraysIn,
  collate,
  type ExampleBatch,
  type NumbersBatch,
  type NumbersInput,
  plannedExample,
  stackExamples,
  type TokenBatch,
} from "../../data/batch.ts";
import { loadSequences, type SequenceData } from "../../data/dataset.ts";
import { type Example, type ExampleReader, loadExamples } from "../../data/examples.ts";
import { type GroupReference, groupsOf } from "../../data/groups.ts";
import { BatchOrder, type OrderOptions, type OrderState } from "../../data/order.ts";
import type { EncodeOptions } from "../../data/sequences.ts";
import type { Split } from "../../data/split.ts";
import type { TextTools } from "../text-tools.ts";

export interface DrawnBatch<B> {
  readonly batch: B;
  readonly epoch: number;
  /** Milliseconds in which it was written, by a model on an idle GPU: they are no part of training's speed. */
  readonly away?: number;
}

/** An endless source of batches whose place can be saved. */
export interface BatchSource<B> {
  readonly groups: readonly { readonly name: string; readonly rows: number; readonly tokens?: number }[];
  readonly batchesPerEpoch: number;
  /** A batch of the largest shape there is, for planning. Its contents do not matter. */
  largest(): B;
  /** The next batch; a promise where a model must write it first. */
  next(): DrawnBatch<B> | Promise<DrawnBatch<B>>;
  state(): OrderState;
  load(state: unknown, what: string): void;
}

export type OrderChoice = Pick<OrderOptions, "batchSize" | "seed" | "shuffle" | "dropLast" | "pack" | "weights">;

/** Reads token data into memory (8 bytes a token at most) and gives it in batches. */
export async function tokenBatches(
  groups: readonly GroupReference[],
  encode: Omit<EncodeOptions, "group">,
  order: OrderChoice,
  pad = 0,
): Promise<BatchSource<TokenBatch> & { readonly data: SequenceData }> {
  return sequenceBatches(await loadSequences(groups, encode), order, pad);
}

/** A digest of the data, by which a state knows them again. */
export const digestOf = (arrays: readonly (Int32Array | Float32Array)[]): string =>
  arrays
    .reduce((hash, { buffer, byteOffset, byteLength }) => {
      return BigInt(Bun.hash.xxHash64(new Uint8Array(buffer, byteOffset, byteLength), hash));
    }, BigInt(arrays.length))
    .toString(16);

/** Token data that is in memory, in batches. */
export function sequenceBatches(
  data: SequenceData,
  order: OrderChoice,
  pad = 0,
): BatchSource<TokenBatch> & { readonly data: SequenceData } {
  const plan = new BatchOrder({
    ...order,
    groups: data.groups,
    digest: digestOf(data.sequences.flatMap(({ ids, labels }) => (labels === ids ? [ids] : [ids, labels]))),
  });
  const rows = Math.min(order.batchSize, data.sequences.length);
  return {
    data,
    groups: data.groups.map(({ name, rows, tokens }) => ({ name, rows, tokens })),
    batchesPerEpoch: plan.batchesPerEpoch,
    largest() {
      const longest = data.sequences.reduce((a, b) => (b.ids.length > a.ids.length ? b : a));
      if (!order.pack)
        return collate(
          Array.from({ length: rows }, () => [longest]),
          { pad },
        );
      const half = (part: number) => ({ ...longest, ids: new Int32Array(part), labels: new Int32Array(part) });
      const first = Math.ceil(order.pack / 2);
      return collate(
        Array.from({ length: rows }, () => [half(first), half(order.pack! - first)]),
        { pad },
      );
    },
    next() {
      const { bins, epoch } = plan.next();
      return {
        batch: collate(
          bins.map((bin) => bin.map((i) => data.sequences[i]!)),
          { pad },
        ),
        epoch,
      };
    },
    state: () => plan.state(),
    load: (state, what) => plan.load(state, what),
  };
}

/** Reads examples into memory and gives them in batches. */
export async function exampleBatches(
  groups: readonly GroupReference[],
  reader: ExampleReader,
  order: Omit<OrderChoice, "pack">,
): Promise<BatchSource<ExampleBatch> & { readonly examples: readonly Example[] }> {
  const examples = await loadExamples(groups, reader);
  const names = groups.map(({ name }) => name);
  return stackedBatches(examples, names, order);
}

/** Examples that are in memory, in batches. `names` are those of their groups. */
export function stackedBatches(
  examples: readonly Example[],
  names: readonly string[],
  order: Omit<OrderChoice, "pack">,
): BatchSource<ExampleBatch> & { readonly examples: readonly Example[] } {
  const counts = names.map((name, group) => {
    const rows = examples.filter((example) => example.group === group).length;
    return { name, rows, lengths: new Int32Array(rows).fill(1) };
  });
  return countedExamples(examples, counts, order);
}

/** Examples in batches, of groups that are counted already. */
export function countedExamples(
  examples: readonly Example[],
  counts: readonly { readonly name: string; readonly rows: number; readonly lengths: Int32Array }[],
  order: Omit<OrderChoice, "pack">,
): BatchSource<ExampleBatch> & { readonly examples: readonly Example[] } {
  const largest = plannedExample(examples);
  const plan = new BatchOrder({
    ...order,
    groups: counts,
    digest: digestOf(
      examples.flatMap((example) => [
        ...arraysIn(example),
        ...(example.y ? [example.y] : []),
        Int32Array.of(example.label),
      ]),
    ),
  });
  return {
    examples,
    groups: counts,
    batchesPerEpoch: plan.batchesPerEpoch,
    largest: () => stackExamples(Array.from({ length: Math.min(order.batchSize, examples.length) }, () => largest)),
    next() {
      const { bins, epoch } = plan.next();
      return { batch: stackExamples(bins.flat().map((i) => examples[i]!)), epoch };
    },
    state: () => plan.state(),
    load: (state, what) => plan.load(state, what),
  };
}

/** Examples of numbers that are in memory, in batches of a new order every epoch. */
export function numberBatches(
  examples: readonly (NumbersInput & Example)[],
  batchSize: number,
  seed: number,
): BatchSource<NumbersBatch> {
  const source = stackedBatches(examples, ["rows"], { batchSize, seed });
  const numbers = (batch: ExampleBatch): NumbersBatch => {
    if ("x" in batch) return batch;
    throw new TypeError("examples of numbers became texts");
  };
  return {
    ...source,
    largest: () => numbers(source.largest()),
    async next() {
      const { batch, epoch } = await source.next();
      return { batch: numbers(batch), epoch };
    },
  };
}

/**
 * Reads the groups that --data names into batches for a model, but for what `split` holds out. Throws UserError for
 * rows that it cannot take.
 */
export async function readBatches(
  { data, columns }: { readonly data?: readonly string[] | undefined; readonly columns?: string | undefined },
  {
    tools,
    examples,
    order,
    split,
  }: {
    readonly tools: TextTools | undefined;
    readonly examples: ExampleReader;
    readonly order: OrderChoice;
    readonly split?: Split | undefined;
  },
): Promise<
  | (BatchSource<TokenBatch> & { readonly data: SequenceData })
  | (BatchSource<ExampleBatch> & { readonly examples: readonly Example[] })
> {
  const all = groupsOf(data, "--data", columns);
  const groups = split?.rest(all) ?? all;
  if (tools) return tokenBatches(groups, tools.encode, order, tools.tokenizer?.pad ?? 0);
  return exampleBatches(groups, examples, order);
}

/** Rows in memory, in batches. */
export type ReadRows = Awaited<ReturnType<typeof readBatches>>;

/** How often each of `outputs` labels comes, of classes or tokens, in what was read. */
export function labelCounts(source: ReadRows, outputs: number): number[] {
  const counts = Array<number>(outputs).fill(0);
  const add = (label: number) => {
    if (label >= 0) counts[label]!++;
  };
  if ("examples" in source) for (const { label } of source.examples) add(label);
  // The first token of a sequence is no label.
  else for (const { labels } of source.data.sequences) for (const label of labels.subarray(1)) add(label);
  return counts;
}
