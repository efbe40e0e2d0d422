/** Models that a rule combines on rows that were read for the first of them. */
import { tokenClash } from "../../data/same-tokens.ts";
import { UserError } from "../../errors.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import type { TextTools } from "../text-tools.ts";

/** A model and its tokenizer, as they were opened. */
interface Together {
  readonly ref: string;
  readonly sizes: ModelSizes;
  readonly tools: TextTools | undefined;
}

/** Throws UserError unless rows that were read for the first model mean the same to all others, and fit into them. */
export function checkTogether(first: Together, others: readonly Together[]): void {
  for (const { ref, tools } of [first, ...others])
    if (!tools)
      throw new UserError(`${ref} is a classifier, and --method combines what language models say`, "leave it out");
  const speaker = ({ ref, sizes, tools }: Together) => ({ ref, outputs: sizes.outputs, files: tools?.files });
  for (const other of others) {
    const clash = tokenClash(speaker(first), speaker(other));
    if (clash)
      throw new UserError(
        clash.message,
        "models whose logits are combined need one vocabulary; merge can bring them to one",
      );
    const [length = 0, most = length] = [first, other].map(({ tools }) => tools?.encode.maxLength);
    if (length > most)
      throw new UserError(
        `${first.ref} reads rows of up to ${length} tokens, ${other.ref} of ${most}`,
        `give --max-length ${most}`,
      );
  }
}
