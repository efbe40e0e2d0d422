/** What views read in the place of prompts. */
import { UserError } from "../../errors.ts";
import type { Rule, ViewedModel } from "./contract.ts";

/**
 * Throws UserError where a view reads something else than a prompt and has no room for it and `maxTokens` tokens more.
 * `place` names the prompt.
 */
export function checkMapped(
  rule: Rule,
  models: readonly ViewedModel[],
  prompt: { readonly ids: readonly number[]; readonly place: string; readonly maxTokens: number },
): void {
  for (const { prompt: map, model } of rule.views) {
    if (!map) continue;
    const { ref, sizes } = models[model]!;
    const ids = map(prompt.ids);
    if (ids.length === 0)
      throw new UserError(`${prompt.place}: what ${ref} is to read in its place has no tokens`, "give a text");
    const odd = ids.find((id) => id >= sizes.outputs);
    if (odd !== undefined)
      throw new UserError(
        `${prompt.place}: token ${odd} of what ${ref} reads in its place is outside its vocabulary`,
        "take a tokenizer of the model",
      );
    const more = ids.length - prompt.ids.length;
    if (more > 0 && ids.length + prompt.maxTokens > sizes.maxPositions)
      throw new UserError(
        `${prompt.place}: ${ref} reads ${ids.length} tokens in its place, and ${prompt.maxTokens} more do not fit in ${sizes.maxPositions} positions`,
        "lower --max-tokens, or give a shorter text",
      );
  }
}
