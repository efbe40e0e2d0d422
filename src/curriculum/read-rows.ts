/** Reads the groups of --data into memory, for a language model or a classifier. */
import { loadSequences } from "../data/dataset.ts";
import { loadExamples } from "../data/examples.ts";
import { groupsOf } from "../data/groups.ts";
import type { Split } from "../data/split.ts";
import { UserError } from "../errors.ts";
import type { DescribedModel } from "../run/open-model.ts";
import { type Rows, rowsOf } from "./source.ts";

/**
 * Leaves out what `split` holds out. Throws UserError for a group without rows, and for the first row that the model
 * cannot take.
 */
export async function readRows(
  { data, columns }: { readonly data?: readonly string[] | undefined; readonly columns?: string | undefined },
  {
    tools,
    examples: reader,
    split,
  }: Pick<DescribedModel, "tools" | "examples"> & { readonly split?: Split | undefined },
): Promise<Rows> {
  const all = groupsOf(data, "--data", columns);
  const groups = split?.rest(all) ?? all;
  const names = groups.map(({ name }) => name);
  if (tools) return rowsOf(names, (await loadSequences(groups, tools.encode)).sequences, tools.tokenizer?.pad ?? 0);
  const examples = await loadExamples(groups, reader);
  const empty = groups.find((_, i) => !examples.some(({ group }) => group === i));
  if (empty) throw new UserError(`the group ${empty.name} has no rows`, `fill ${empty.path}, or leave it out`);
  return rowsOf(names, examples, 0);
}
