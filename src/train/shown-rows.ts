/**
 * Demonstrations of how others are answered before the rows of a training. Mueller et al. 2023,
 * https://arxiv.org/abs/2307.00119
 *
 * Of a decoder alone, so that they stand in one text with the row; where they do not fit the farthest are left out.
 */

import type { TRAIN_DEMOS } from "../data/demonstrations/options.ts";
import { readShown, rowsBehind } from "../data/demonstrations/shown.ts";
import type { EncodeOptions } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { Values } from "../method/options.ts";
import { type DenseContext, openRetriever } from "../run/demonstrations/dense.ts";
import type { DescribedModel } from "../run/open-model.ts";

/** What makes rows forms with fewer and fewer demonstrations. Throws UserError for a model without texts. */
export async function shownRows(
  context: DenseContext & { readonly options: Values<typeof TRAIN_DEMOS>; readonly seed: number },
  { tools, ref, task }: DescribedModel,
): Promise<NonNullable<EncodeOptions["shown"]>> {
  const { options, seed } = context;
  const { demos = "", demo_count: count, demo_retriever: by, demo_separator: separator } = options;
  if (!tools)
    throw new UserError(
      `--demos stand before the prompts of a language model, and ${ref} is a ${task}`,
      "leave it out",
    );
  const bank = await readShown(demos, "--demos");
  const { retrieve, free } = await openRetriever(context, by, { flag: "--demo-retriever", bank, seed });
  context.onExit(free);
  return (row) => rowsBehind(row, { bank, retrieve, count, separator });
}
