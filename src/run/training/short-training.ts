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
export function batchesOf(
  material: Material,
  count: number,
  order: { batchSize: number; seed: number },
): BatchSource<Batch> {
  if (material.kind === "examples") return stackedBatches(material.rows.slice(0, count), ["rows"], order);
  const sequences = material.rows.slice(0, count);
  const lengths = Int32Array.from(sequences, ({ ids }) => ids.length);
  const [rows, tokens] = [sequences.length, lengths.reduce((a, b) => a + b, 0)];
  const counted = sequences.reduce((sum, sequence) => sum + countedTokens(sequence), 0);
  const group = { name: "rows", rows, sequences: rows, tokens, counted, lengths };
  return sequenceBatches({ sequences, groups: [group] }, order, material.pad);
}

/**
 * Trains a model; no rows or no steps leave it as it is. Gives the steps that were done. Throws UserError when a loss
 * or a gradient is not finite.
 */
export async function finetune(
  { model, ref }: { readonly model: Model; readonly ref: string },
  material: Material,
  { rows, epochs = 1, steps, lr, batchSize, seed, signal, rateFlag, after, done }: FinetuneOptions,
): Promise<number> {
  const learned = Math.min(rows, material.rows.length);
  if (learned === 0) return 0;
  const source = batchesOf(material, rows, { batchSize, seed });
  const { step } = await trainModel({
    model,
    source,
    objective: crossEntropyObjective(model),
    optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), ADAMW),
    rate: () => lr,
    steps: steps ?? epochs * source.batchesPerEpoch,
    seed,
    signal,
    name: ref,
    advice: `lower ${rateFlag}`,
    ...(after ? { after } : {}),
    onStep: ({ step }) => done?.(Math.min(batchSize, learned - ((step - 1) % source.batchesPerEpoch) * batchSize)),
  });
  signal.throwIfAborted();
  return step;
}
