/** Rows as batches in the order of their files, for what is measured on all of them. */
import { type Batch, collate, stackExamples } from "../data/batch.ts";
import { inBatches, loadSequences } from "../data/dataset.ts";
import { loadExamples } from "../data/examples.ts";
import type { GroupReference } from "../data/groups.ts";
import type { DescribedModel } from "./open-model.ts";

/** Rows in file order, so many at once. Throws UserError for labels that the model has no output for. */
export async function batchesIn(
  groups: readonly GroupReference[],
  { tools, examples: reader }: Pick<DescribedModel, "tools" | "examples">,
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
    const examples = await loadExamples(groups, reader);
    for await (const part of inBatches(examples, rows)) batches.push(stackExamples(part));
  }
  return batches;
}
