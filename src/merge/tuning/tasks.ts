/** The tasks that coefficients are learnt on: rows, the head that scores them, and the expert where a loss asks it. */
import type { Batch } from "../../data/batch.ts";
import { type GroupReference, parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { configOf, describeConfig } from "../../model/description.ts";
import { loadEntry } from "../../model/load.ts";
import { Model } from "../../model/model.ts";
import type { NamedModel } from "../../model/names.ts";
import { type DescribedModel, describeModel } from "../../run/open-model.ts";
import type { TextOptions } from "../../run/text-tools.ts";
import { type BatchSource, exampleBatches, tokenBatches } from "../../run/training/batch-source.ts";
import { Parameter } from "../../tensor/parameter.ts";

export interface TuneTask {
  /** As `--tune-data` names it. */
  readonly name: string;
  readonly source: BatchSource<Batch>;
  /** The merged model with the head of this task. */
  readonly model: Model;
  /** The model that was tuned for the task. */
  readonly expert: Model | undefined;
}

export interface TasksOptions {
  readonly data: readonly string[];
  readonly columns: string | undefined;
  readonly batchSize: number;
  readonly seed: number;
  readonly text: TextOptions;
  /** Tensors that are each model's own. */
  readonly own: (name: string) => boolean;
  /** Whether each task has a model of its own: by a head, or as an expert. */
  readonly byModel: boolean;
  readonly needsLabels: boolean;
  readonly warn: (message: string) => void;
}

/** Rows of a task, and how its model reads them. */
export interface TaskRows {
  readonly group: GroupReference;
  readonly source: BatchSource<Batch>;
}

/** A model's own description, with its files and tensors under the names of the merge. */
const described = ({ ref, checkpoint, tensors }: NamedModel, text: TextOptions): Promise<DescribedModel> =>
  describeModel({ ref, files: checkpoint.files, tensors }, text);

/**
 * Reads the rows of every task. `merged` describes the merged model; `inputs` are the models, one for each task where
 * tasks have their own. Throws UserError for rows that a model cannot take, and for tasks that are not those of the
 * models.
 */
export async function readTasks(
  merged: DescribedModel,
  inputs: readonly NamedModel[],
  options: TasksOptions,
): Promise<TaskRows[]> {
  const groups = parseGroups(options.data, options.columns, "--tune-data");
  if (options.byModel && groups.length !== inputs.length)
    throw new UserError(
      `--tune-data is given ${groups.length === 1 ? "once" : `${groups.length} times`}, and there are ${inputs.length} models`,
      "give --tune-data NAME=FILE once for each model, in their order",
    );
  const rows: TaskRows[] = [];
  for (const [k, group] of groups.entries())
    rows.push(await rowsOf(group, options.byModel ? await described(inputs[k]!, options.text) : merged, options));
  return rows;
}

/** The rows of `--tune-guide`, as the merged model reads them. */
export function readGuide(
  merged: DescribedModel,
  value: string,
  options: Pick<TasksOptions, "columns" | "batchSize" | "seed" | "needsLabels">,
): Promise<TaskRows> {
  const [group] = parseGroups([value], options.columns, "--tune-guide");
  return rowsOf(group!, merged, options);
}

async function rowsOf(
  group: GroupReference,
  { tools, examples }: DescribedModel,
  { batchSize, seed, needsLabels }: Pick<TasksOptions, "batchSize" | "seed" | "needsLabels">,
): Promise<TaskRows> {
  const order = { batchSize, seed };
  const source = tools
    ? await tokenBatches([group], tools.encode, order, tools.tokenizer?.pad ?? 0)
    : await exampleBatches([group], { ...examples, unlabelled: !needsLabels }, order);
  return { group, source };
}

/** The model with the head of one of those that are merged, frozen. The caller frees the head's parameters. */
export async function withOwnHead(
  gpu: Gpu,
  model: Model,
  { ref, checkpoint, tensors }: NamedModel,
  own: (name: string) => boolean,
): Promise<{ model: Model; parameters: readonly Parameter[] }> {
  const json = configOf({ ref, files: checkpoint.files });
  const { architecture, config } = await describeConfig(json, ref);
  const head = new Map<string, Parameter>();
  for (const { name, shape } of architecture.parameters(config)) {
    if (!own(name)) continue;
    const entry = tensors.get(name);
    if (!entry) throw new UserError(`${ref} has no ${name}, and its task needs it`, "which tensors are its head?");
    if (entry.shape.join() !== shape.join())
      throw new UserError(
        `${ref}: ${name} is (${entry.shape.join(", ")}), and its config asks for (${shape.join(", ")})`,
      );
    const parameter = new Parameter(gpu, name, shape, "f32", false);
    await loadEntry(gpu, entry, parameter, 0);
    head.set(name, parameter);
  }
  return { model: await model.variant(json, ref, head), parameters: [...head.values()] };
}

/** An expert beside the merged model, frozen, in the types of its file. */
export const loadExpert = (gpu: Gpu, { checkpoint, tensors }: NamedModel): Promise<Model> =>
  Model.load(gpu, { ...checkpoint, tensors }, { freeze: () => true, dtype: "keep" });
