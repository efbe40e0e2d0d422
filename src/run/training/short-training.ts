/** A few steps of training in memory, for attacks and probes: a model on rows of one group, with AdamW at a constant rate. */
import { collate, type ExampleBatch, stackExamples, type TokenBatch } from "../../data/batch.ts";
import { countedTokens, type Example, loadExamples, loadSequences } from "../../data/dataset.ts";
import type { GroupReference } from "../../data/groups.ts";
import { BatchOrder } from "../../data/order.ts";
import type { Sequence } from "../../data/sequences.ts";
import { permutation } from "../../data/shuffle.ts";
import { UserError } from "../../errors.ts";
import type { Specimen } from "../../evaluate/loaded-model.ts";
import { method as optimizer } from "../../train/methods/optimizers/adamw.ts";
import { crossEntropyObjective } from "./cross-entropy.ts";
import type { Objective } from "./objective.ts";
import { Trainer } from "./trainer.ts";

/** Without weight decay, which would be an attack of its own. */
const ADAMW = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0 };

/** Rows that a model can be trained on, drawn by seed: fewer of them are the first of more. */
export type Material =
  | { readonly kind: "text"; readonly rows: readonly Sequence[]; readonly pad: number }
  | { readonly kind: "examples"; readonly rows: readonly Example[] };

/** All rows of a group in the order in which they are drawn; without those that no token of counts. */
export async function drawRows({ tools }: Specimen, group: GroupReference, seed: number): Promise<Material> {
  const drawn = <T>(rows: readonly T[]): T[] => {
    return Array.from(permutation(rows.length, seed, 0, "rows to learn again"), (i) => rows[i]!);
  };
  if (!tools) return { kind: "examples", rows: drawn(await loadExamples([group])) };
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
}

/** Trains the model; no rows or no steps leave it as it is. Throws UserError when a gradient is not finite. Gives the steps done. */
export async function finetune(specimen: Specimen, material: Material, options: FinetuneOptions): Promise<number> {
  const { model } = specimen;
  if (material.kind === "examples") {
    const rows = material.rows.slice(0, options.rows);
    const make = (list: Example[]): ExampleBatch => stackExamples(list);
    return train(specimen, rows, make, crossEntropyObjective(model), options);
  }
  const rows = material.rows.slice(0, options.rows);
  const make = (list: Sequence[]): TokenBatch =>
    collate(
      list.map((sequence) => [sequence]),
      { pad: material.pad },
    );
  return train(specimen, rows, make, crossEntropyObjective(model), options);
}

async function train<R, B>(
  { model, ref }: Specimen,
  rows: readonly R[],
  make: (rows: R[]) => B,
  objective: Objective<B>,
  { epochs = 1, steps, lr, batchSize, seed, signal, rateFlag, after }: FinetuneOptions,
): Promise<number> {
  if (rows.length === 0) return 0;
  const groups = [{ name: "rows", lengths: new Int32Array(rows.length).fill(1) }];
  const order = new BatchOrder({ groups, batchSize, seed });
  const total = steps ?? epochs * order.batchesPerEpoch;
  const trainer = await Trainer.make<B>({
    gpu: model.gpu,
    parameters: model.trainable(),
    objective,
    seed,
    optimizer,
    values: ADAMW,
    decays: () => false,
    clip: 0,
  });
  try {
    for (let step = 1; step <= total; step++) {
      signal.throwIfAborted();
      const batch = make(order.next().bins.map(([row]) => rows[row!]!));
      const { gradNorm, metrics } = await (await trainer.step(step, lr, [batch])).result;
      if (!Number.isFinite(gradNorm) || !Number.isFinite(metrics.loss))
        throw new UserError(
          `${ref}: step ${step} of training has a loss of ${metrics.loss} and gradients of norm ${gradNorm}`,
          `lower ${rateFlag}`,
          1,
        );
      if (await after?.(step)) return step;
    }
    return total;
  } finally {
    trainer.free();
  }
}
