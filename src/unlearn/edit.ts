/** Opens the model that an edit changes, and reads the rows whose gradients it measures. */
import { type Batch, collate, stackExamples } from "../data/batch.ts";
import { inBatches, loadExamples, loadSequences } from "../data/dataset.ts";
import type { GroupReference } from "../data/groups.ts";
import type { ModelSizes } from "../model/architecture.ts";
import { architectureOf } from "../model/registry.ts";
import { type TextOptions, type TextTools, textTools } from "../run/training/data-source.ts";
import { type StartOptions, start } from "../run/training/starting-model.ts";
import { checkLabels } from "../train/command.ts";

/** Rows in file order, so many at once. Throws UserError for labels that the model has no output for. */
export async function batchesIn(
  groups: readonly GroupReference[],
  { tools, sizes }: { readonly tools: TextTools | undefined; readonly sizes: ModelSizes },
  rows: number,
): Promise<Batch[]> {
  const batches: Batch[] = [];
  if (tools) {
    const { sequences } = await loadSequences(groups, tools.encode);
    const pad = tools.tokenizer?.pad ?? 0;
    for await (const part of inBatches(sequences, rows))
      batches.push(
        collate(
          part.map((sequence) => [sequence]),
          { pad },
        ),
      );
  } else {
    const examples = await loadExamples(groups);
    checkLabels(examples, sizes.outputs, sizes.example);
    for await (const part of inBatches(examples, rows)) batches.push(stackExamples(part));
  }
  return batches;
}

/** What it takes to open a model. */
interface Opening {
  readonly options: Omit<StartOptions, "model" | "init" | "seed" | "warn"> & TextOptions;
  readonly seed: number;
  warn(text: string): void;
  onExit(cleanup: () => void): void;
}

/** Opens the model that an edit changes, and what reads its data. Reads headers only. */
export async function opened(context: Opening, ref: string) {
  const { options, seed } = context;
  const begun = await start({ ...options, model: ref, init: undefined, seed, warn: (text) => context.warn(text) });
  context.onExit(() => begun.close());
  const where = `${begun.ref}: config.json`;
  const architecture = await architectureOf(begun.json, where);
  const sizes = architecture.sizes(architecture.config(begun.json, where));
  const tools =
    architecture.task === "causal-lm"
      ? await textTools(begun.files, begun.ref, sizes, options, (text) => context.warn(text))
      : undefined;
  return { begun, tools, sizes };
}
