/** Rows as batches in the order of their files, for what is measured on all of them. */
import { type Batch, collate, stackExamples } from "../data/batch.ts";
import { inBatches, loadSequences } from "../data/dataset.ts";
import { loadExamples } from "../data/examples.ts";
import type { GroupReference } from "../data/groups.ts";
import type { DescribedModel } from "./open-model.ts";

/** Batches, and how many rows of the files they were made of: a long row may be several sequences. */
export interface ReadBatches {
  readonly batches: readonly Batch[];
  readonly rows: number;
}

/** Rows in file order, `many` at once. Throws UserError for labels that the model has no output for. */
export async function readBatches(
  groups: readonly GroupReference[],
  { tools, examples: reader }: Pick<DescribedModel, "tools" | "examples">,
  many: number,
): Promise<ReadBatches> {
  const batches: Batch[] = [];
  if (!tools) {
    const examples = await loadExamples(groups, reader);
    for await (const part of inBatches(examples, many)) batches.push(stackExamples(part));
    return { batches, rows: examples.length };
  }
  const { sequences, groups: counts } = await loadSequences(groups, tools.encode);
  const pad = tools.tokenizer?.pad ?? 0;
  for await (const part of inBatches(sequences, many)) {
    const bins = part.map((sequence) => [sequence]);
    batches.push(collate(bins, { pad }));
  }
  return { batches, rows: counts.reduce((sum, { rows }) => sum + rows, 0) };
}
