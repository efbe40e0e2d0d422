/** Rows as batches in the order of their files, for what is measured on all of them. */
import { type Batch, collate, stackExamples } from "../data/batch.ts";
import { checkLabels, inBatches, loadExamples, loadSequences } from "../data/dataset.ts";
import type { GroupReference } from "../data/groups.ts";
import type { DescribedModel } from "./open-model.ts";

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
