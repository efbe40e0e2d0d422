/** Opens the model that an edit changes, and reads the rows whose gradients it measures. */
import { type Batch, collate, stackExamples } from "../data/batch.ts";
import { checkLabels, inBatches, loadExamples, loadSequences } from "../data/dataset.ts";
import type { GroupReference } from "../data/groups.ts";
import { type DescribedModel, describeModel } from "../run/open-model.ts";
import type { TextOptions } from "../run/text-tools.ts";
import { type StartOptions, start } from "../run/training/starting-model.ts";

/** Rows in file order, so many at once. Throws UserError for labels that the model has no output for. */
export async function batchesIn(
  groups: readonly GroupReference[],
  { tools, sizes }: Pick<DescribedModel, "tools" | "sizes">,
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
  const begun = await start({
    ...options,
    model: ref,
    init: undefined,
    neverNew: true,
    seed,
    warn: (text) => context.warn(text),
  });
  context.onExit(() => begun.close());
  return { begun, ...(await describeModel(begun, options, (text) => context.warn(text))) };
}
