/**
 * A few steps of training in memory, for attacks and probes: a model on rows of one group, with AdamW at a constant
 * rate.
 */
import type { Batch } from "../../data/batch.ts";
import { countedTokens, loadSequences } from "../../data/dataset.ts";
import { type Example, type ExampleReader, loadExamples } from "../../data/examples.ts";
import type { GroupReference } from "../../data/groups.ts";
import type { Sequence } from "../../data/sequences.ts";
import { permutation } from "../../data/shuffle.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { Model } from "../../model/model.ts";
import type { TextTools } from "../text-tools.ts";
import { type BatchSource, sequenceBatches, stackedBatches } from "./batch-source.ts";
import { crossEntropyObjective } from "./cross-entropy.ts";
import { trainModel } from "./train-model.ts";

/** Without weight decay, which by itself makes a model forget. */
const ADAMW = { beta2: 0.999, weight_decay: 0 };

/** Rows that a model can be trained on, drawn by seed: fewer of them are the first of more. */
export type Material =
  | { readonly kind: "text"; readonly rows: readonly Sequence[]; readonly pad: number }
  | { readonly kind: "examples"; readonly rows: readonly Example[] };

/** All rows of a group in the order in which they are drawn, without those that count no token. */
export async function drawRows(
  { tools, examples }: { readonly tools: TextTools | undefined; readonly examples: ExampleReader },
  group: GroupReference,
  seed: number,
): Promise<Material> {
  const drawn = <T>(rows: readonly T[]): T[] => {
    return Array.from(permutation(rows.length, seed, 0, "rows to learn again"), (i) => rows[i]!);
  };
  if (!tools) return { kind: "examples", rows: drawn(await loadExamples([group], examples)) };
  const { sequences } = await loadSequences([group], tools.encode);
  const rows = drawn(sequences.filter((sequence) => countedTokens(sequence) > 0));
  return { kind: "text", rows, pad: tools.tokenizer?.pad ?? 0 };
}

export interface FinetuneOptions {
  /** Only so many rows. */
  readonly rows: number;
  /** Passes over the rows, or steps. */
  readonly epochs?: number;
  readonly steps?: number;
  readonly lr: number;
  readonly batchSize: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Names the rate in messages: `--relearn-lr`. */
  readonly rateFlag: string;
  /** Called after every step; true ends the training. */
  readonly after?: (step: number) => Promise<boolean>;
  /** Called after every step with its number of rows. */
  readonly done?: (rows: number) => void;
}

/** The first `count` rows in batches. */
export const batchesOf = (
  material: Material,
  count: number,
  order: { batchSize: number; seed: number },
): BatchSource<Batch> => mixedBatches([{ name: "rows", material, rows: count }], order);

/** Rows of a group that take part in a training. */
export interface Part {
  readonly name: string;
  readonly material: Material;
  /** Only so many, the first ones. */
  readonly rows?: number;
  /** Share in which they are drawn; all parts have one, or none does and every pass takes all rows once. */
  readonly weight?: number;
}

/** Rows of several groups in batches; parts without rows or of weight 0 are left out. Throws RangeError for none. */
export function mixedBatches(
  given: readonly Part[],
  order: { readonly batchSize: number; readonly seed: number },
): BatchSource<Batch> {
  const parts = given.filter(({ material, rows, weight }) => (rows ?? material.rows.length) > 0 && weight !== 0);
  const [first] = parts;
  if (!first) throw new RangeError("a training needs rows");
  const weights = parts.flatMap(({ weight }) => (weight === undefined ? [] : [weight]));
  const mixed = { ...order, ...(weights.length > 0 ? { weights } : {}) };
  const examples: Example[] = [];
  const sequences: Sequence[] = [];
  for (const [group, { material, rows }] of parts.entries()) {
    if (material.kind === "text") for (const row of material.rows.slice(0, rows)) sequences.push({ ...row, group });
    else for (const row of material.rows.slice(0, rows)) examples.push({ ...row, group });
  }
  if (first.material.kind === "examples")
    return stackedBatches(
      examples,
      parts.map(({ name }) => name),
      mixed,
    );
  const groups = parts.map(({ name }, place) => {
    const own = sequences.filter(({ group }) => group === place);
    const lengths = Int32Array.from(own, ({ ids }) => ids.length);
    const tokens = lengths.reduce((a, b) => a + b, 0);
    const counted = own.reduce((sum, sequence) => sum + countedTokens(sequence), 0);
    return { name, rows: own.length, sequences: own.length, tokens, counted, lengths };
  });
  return sequenceBatches({ sequences, groups }, mixed, first.material.pad);
}

/**
 * Trains a model; no rows or no steps leave it as it is. Gives the steps that were done. Throws UserError when a loss
 * or a gradient is not finite.
 */
export async function finetune(
  loaded: { readonly model: Model; readonly ref: string },
  material: Material,
  { rows, epochs = 1, steps, batchSize, done, ...how }: FinetuneOptions,
): Promise<number> {
  const learned = Math.min(rows, material.rows.length);
  if (learned === 0) return 0;
  const source = batchesOf(material, rows, { batchSize, seed: how.seed });
  const { batchesPerEpoch } = source;
  return trainShortly(loaded, source, {
    ...how,
    steps: steps ?? epochs * batchesPerEpoch,
    onStep: (step) => done?.(Math.min(batchSize, learned - ((step - 1) % batchesPerEpoch) * batchSize)),
  });
}

/** The same on batches, for so many steps. */
export async function trainShortly(
  { model, ref }: { readonly model: Model; readonly ref: string },
  source: BatchSource<Batch>,
  {
    steps,
    lr,
    seed,
    signal,
    rateFlag,
    after,
    onStep,
  }: Pick<FinetuneOptions, "lr" | "seed" | "signal" | "rateFlag" | "after"> & {
    readonly steps: number;
    readonly onStep?: (step: number) => void;
  },
): Promise<number> {
  const { step } = await trainModel({
    model,
    source,
    objective: crossEntropyObjective(model),
    optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), ADAMW),
    rate: () => lr,
    steps,
    seed,
    signal,
    name: ref,
    advice: `lower ${rateFlag}`,
    ...(after ? { after } : {}),
    onStep: (result) => onStep?.(result.step),
  });
  signal.throwIfAborted();
  return step;
}
