/** The prompts of a run: rows of --data as a model continues them. */
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { Row } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import { checkPrompt, PromptEncoder } from "../../run/generating/prompts.ts";
import type { TextTools } from "../../run/text-tools.ts";

export interface PolicyPrompt {
  readonly ids: readonly number[];
  readonly text: string;
  /** As read: verifiers find the right answer in it. */
  readonly row: Row;
  readonly place: string;
  /** Position of its group among the groups of data. */
  readonly group: number;
}

export interface PolicyPrompts {
  readonly prompts: readonly PolicyPrompt[];
  readonly groups: readonly { readonly name: string; readonly lengths: Int32Array }[];
}

/** Reads all prompts. Throws UserError for a row that is none, or that leaves no room for `most` tokens behind it. */
export async function readPolicyPrompts(
  groups: readonly GroupReference[],
  { tools, sizes, ref }: { readonly tools: TextTools; readonly sizes: ModelSizes; readonly ref: string },
  maxTokens: number,
): Promise<PolicyPrompts> {
  const { tokenizer, encode } = tools;
  if (!tokenizer) throw new UserError(`${ref} has no tokenizer, and verifiers read texts`, "give one with --tokenizer");
  const encoder = new PromptEncoder({ chat: false }, tokenizer, encode.template);
  const most = encode.maxLength!;
  const prompts: PolicyPrompt[] = [];
  const read: { name: string; lengths: Int32Array }[] = [];
  for (const [group, source] of groups.entries()) {
    const own: PolicyPrompt[] = [];
    for await (const { row, place } of readRows(source)) {
      const { ids, text } = encoder.row(row, place);
      checkPrompt({ ids, text, place }, sizes, ref);
      if (ids.length + maxTokens > most)
        throw new UserError(
          `${place}: a prompt of ${ids.length} tokens and ${maxTokens} of an answer are more than ${most}`,
          "lower --max-new-tokens, raise --max-length, or leave the row out",
        );
      own.push({ ids, text, row, place, group });
    }
    prompts.push(...own);
    read.push({ name: source.name, lengths: Int32Array.from(own, ({ ids }) => ids.length) });
  }
  return { prompts, groups: read };
}
