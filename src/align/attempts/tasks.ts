/** Rows that a model is to try, as they stand and as verifiers read them. */
import { parseRow } from "../../data/parse-row.ts";
import { readValues } from "../../data/read-rows.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import { checkPrompt, PromptEncoder } from "../../run/generating/prompts.ts";
import type { DescribedModel } from "../../run/open-model.ts";
import type { PolicyPrompt } from "../policies/prompts.ts";

export interface Task extends Omit<PolicyPrompt, "group"> {
  /** The row as it stands. */
  readonly value: Json;
}

/** Throws UserError for a row that is no prompt, or one that leaves no room for `maxTokens` of an answer. */
export async function readTasks(
  file: string,
  { ref, tools, sizes }: DescribedModel,
  maxTokens: number,
): Promise<Task[]> {
  const { tokenizer, encode } = tools ?? {};
  if (!tokenizer) throw new UserError(`${ref} is no language model with a tokenizer`, "verifiers read texts");
  const encoder = new PromptEncoder({ chat: false }, tokenizer, encode?.template);
  const tasks: Task[] = [];
  for await (const { value, place } of readValues(file)) {
    const row = parseRow(value, place);
    const { ids, text } = encoder.row(row, place);
    checkPrompt({ ids, text, place }, sizes, ref);
    if (ids.length + maxTokens > sizes.maxPositions)
      throw new UserError(
        `${place}: a prompt of ${ids.length} tokens and ${maxTokens} of an answer are more than the ${sizes.maxPositions} positions of ${ref}`,
        "lower --max-new-tokens, or leave the row out",
      );
    tasks.push({ ids, text, row, place, value });
  }
  return tasks;
}
