/** What reads rows for a classifier: shapes and classes, and of texts the tokenizer and the length of rows. */
import type { ExampleReader } from "../data/examples.ts";
import { UserError } from "../errors.ts";
import type { ModelSizes } from "../model/architecture.ts";
import { type TextOptions, textTools } from "./text-tools.ts";

export interface ClassifierTools {
  readonly reader: ExampleReader;
  /** Files to save beside the model: its own, with those of a tokenizer that it did not have. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Reads the tokenizer of a classifier of texts. `files` are the model's; `ref` names it. Throws UserError. */
export async function classifierTools(
  files: ReadonlyMap<string, Uint8Array>,
  ref: string,
  sizes: ModelSizes,
  options: TextOptions,
  warn?: (message: string) => void,
): Promise<ClassifierTools> {
  const { outputs: classes, example: shape, text } = sizes;
  if (!text) return { reader: { classes, shape }, files };
  if (options.overflow === "split")
    throw new UserError(
      `--overflow split makes several rows of one; ${ref} gives one answer to a whole row`,
      "leave it out, and long rows are cut",
    );
  const tools = await textTools(files, ref, { ...sizes, outputs: text.vocabulary }, { ...options, template: "plain" });
  const { maxLength = sizes.maxPositions } = tools.encode;
  let isTold = options.overflow !== undefined;
  const cut = (place: string, tokens: number) => {
    if (!isTold) warn?.(`rows of more than ${maxLength} tokens are cut, the first is ${place} with ${tokens}`);
    isTold = true;
  };
  const { labels, types, vocabulary } = text;
  const refuses = options.overflow === "refuse";
  const reader = { tokenizer: tools.tokenizer, vocabulary, types, labels, maxLength, refuses, cut };
  return { reader: { classes, text: reader }, files: tools.files };
}
