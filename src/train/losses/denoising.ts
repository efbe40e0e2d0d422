/**
 * What losses of denoisers share: which models and options they are for, labels that are left out, and held-out rows.
 */
import type { Batch, NumbersBatch } from "../../data/batch.ts";
import { stackExamples } from "../../data/batch.ts";
import { loadExamples } from "../../data/examples.ts";
import type { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { heldOutGroups } from "../../run/training/held-out.ts";
import type { HeldOutBatches } from "../../run/training/held-out-objective.ts";
import type { LabelLoss } from "../../run/training/label-loss.ts";
import type { Opened } from "../../run/training/technique.ts";
import type { TRAIN } from "../options.ts";

/** The option by which a model learns rows of no class beside those of its classes. */
export const LABEL_DROP = {
  type: "0 <= number <= 1",
  default: 0.1,
  help: "share of rows whose label is left out, so that the model knows rows of no class, too",
  value: "P",
} as const satisfies Options[string];

/** Throws UserError for a loss of denoisers on another model, another loss on one, and options that do not go along. */
export function checkDenoiser(
  { method }: Pick<Bound<LabelLoss>, "method">,
  { task, ref, architecture }: Pick<Opened, "task" | "ref" | "architecture">,
  options: Values<typeof TRAIN>,
): void {
  if (!method.denoises) {
    if (task !== "denoiser") return;
    throw new UserError(
      `--loss ${method.name} is no loss of denoisers, and ${ref} is one`,
      "--loss denoise trains it, --loss ict makes it a generator of one step",
    );
  }
  if (task !== "denoiser")
    throw new UserError(
      `--loss ${method.name} trains denoisers, and ${ref} is a ${architecture.name}`,
      "model_type denoiser in the config of --init makes one",
    );
  const odd = [
    options.adversarial && "--adversarial",
    options.prequential && "--prequential",
    options.private_head !== undefined && "--private-head",
    options.plant !== undefined && "--plant",
    options.schedule_search && "--schedule-search",
  ].find((flag) => flag);
  if (odd) throw new UserError(`${odd} is for models that predict, and ${ref} is a denoiser`, "leave it out");
}

/** A batch of numbers. Throws TypeError for another. */
export function numbersOf(batch: Batch): NumbersBatch {
  if ("x" in batch) return batch;
  throw new TypeError("denoisers learn rows of numbers");
}

/** The class of every row: the number of classes where it has none, and where its label is left out. */
export const droppedLabels = ({ labels }: NumbersBatch, { sizes }: Model, share: number, random: Random): Int32Array =>
  labels.map((label) => (random.uniform() < share || label < 0 ? sizes.outputs : label));

/** (B) weight / total of every row. */
export const rowShares = ({ rows, weights }: NumbersBatch, total: number): Float32Array =>
  Float32Array.from({ length: rows }, (_, row) => (weights?.[row] ?? 1) / total);

/** Held-out rows, which the loss itself is measured on; undefined where there are none. */
export async function heldOutRows(
  options: Values<typeof TRAIN>,
  { examples, split }: Opened,
): Promise<readonly HeldOutBatches<Batch>[] | undefined> {
  const groups = heldOutGroups(options, split);
  if (groups.length === 0) return undefined;
  const found = await loadExamples(groups, examples);
  return groups.map(({ name }, group) => {
    const own = found.filter((example) => example.group === group);
    const batches: Batch[] = [];
    for (let from = 0; from < own.length; from += options.batch_size)
      batches.push(stackExamples(own.slice(from, from + options.batch_size)));
    return { name, rows: own.length, batches };
  });
}
