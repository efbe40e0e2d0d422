/** What reads text for a language model: tokenizer, chat template, length of rows. */
import fs from "node:fs";
import path from "node:path";
import { openPlain } from "../checkpoint/open.ts";
import { byteTokenizer } from "../data/byte-tokenizer.ts";
import type { Turns } from "../data/chat/conversation.ts";
import { turnEnd } from "../data/chat/turn-end.ts";
import { loadTokenizer, TOKENIZER_FILES } from "../data/load-tokenizer.ts";
import { type EncodeOptions, endOfTurn } from "../data/sequences.ts";
import { type ChatTemplate, loadTemplate, plainTemplate } from "../data/template.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import type { ModelSizes } from "../model/architecture.ts";

export interface TextOptions {
  readonly tokenizer?: string | undefined;
  readonly template?: "auto" | "plain" | undefined;
  /** Which turns of conversations count; all when left out. */
  readonly turns?: Turns | undefined;
  readonly max_length?: number | undefined;
  /** Whether the tokens of large files are kept on disk; off when left out. */
  readonly token_cache?: "auto" | "off" | undefined;
  /** Longer rows are cut, with a remark, when left out. */
  readonly overflow?: "truncate" | "split" | "refuse" | undefined;
}

export interface TextTools {
  /** Undefined where neither the model nor the options have one: rows of `input_ids` need none. */
  readonly tokenizer: Tokenizer | undefined;
  readonly encode: Omit<EncodeOptions, "group">;
  /** Files to save beside the model: its own, with those of a tokenizer that it did not have. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

const LONGEST = 1024;

/** Tokenizer, template and length. `files` are the model's; `ref` names it. */
export async function textTools(
  files: ReadonlyMap<string, Uint8Array>,
  ref: string,
  sizes: ModelSizes,
  options: TextOptions,
  warn?: (message: string) => void,
): Promise<TextTools> {
  const { tokenizer: wanted, template = "auto", turns = "all", overflow = "truncate" } = options;
  let source = files;
  let where = ref;
  let read = files; // the files that the tokenizer is made of
  let tokenizer: Tokenizer | undefined;
  if (wanted === "byte") {
    tokenizer = byteTokenizer();
    source = new Map([...files, ...tokenizer.files]);
  } else if (wanted !== undefined) {
    const other = await tokenizerFiles(wanted);
    // The model's own settings are of ids that another tokenizer does not have.
    const kept = [...files].filter(([name]) => !TOKENIZER_FILES.includes(name));
    source = new Map([...kept, ...[...other].filter(([name]) => name !== "config.json")]);
    where = wanted;
    read = other;
    tokenizer = await loadTokenizer(other, where);
  } else if (files.has("tokenizer.json")) {
    tokenizer = await loadTokenizer(files, ref);
  }
  if (tokenizer && tokenizer.vocabSize > sizes.outputs)
    throw new UserError(
      `the tokenizer ${tokenizer.name} has ${tokenizer.vocabSize} tokens; ${ref} has a vocabulary of ${sizes.outputs}`,
      "use the model's own tokenizer, or a model with a larger vocab_size",
    );
  const found = tokenizer && template === "auto" ? await loadTemplate(source, where) : undefined;
  const chat = found ?? (tokenizer && plainTemplate(endOfTurn(tokenizer)));
  const maxLength = options.max_length ?? Math.min(LONGEST, sizes.maxPositions);
  if (sizes.maxPositions > 0 && maxLength > sizes.maxPositions)
    throw new UserError(
      `--max-length ${maxLength} is more than the ${sizes.maxPositions} positions of ${ref}`,
      "lower it",
    );
  let isTold = options.overflow !== undefined;
  const cut = (place: string, tokens: number) => {
    if (!isTold)
      warn?.(
        `rows of more than ${maxLength} tokens are cut, the first is ${place} with ${tokens}; --overflow split keeps the rest`,
      );
    isTold = true;
  };
  let isEndTold = false;
  const endless = (place: string) => {
    if (!isEndTold)
      warn?.(`the chat template ends no answer with a token, so no end is learnt or scored; the first is in ${place}`);
    isEndTold = true;
  };
  const reader = tokenizer && chat && withTurnEnd(tokenizer, chat);
  return {
    tokenizer: reader,
    files: source,
    encode: {
      ...(reader ? { tokenizer: reader } : {}),
      ...(chat ? { template: chat } : {}),
      vocabSize: sizes.outputs,
      maxLength,
      turns,
      overflow,
      ...(options.token_cache === "auto" ? { cache: { files: [source, read], settings: { template, turns } } } : {}),
      ...(warn ? { cut, endless } : {}),
    },
  };
}

/** A tokenizer whose end tokens include the one by which the template ends an answer. */
function withTurnEnd(tokenizer: Tokenizer, template: ChatTemplate): Tokenizer {
  const end = turnEnd(template, tokenizer);
  return end === undefined || tokenizer.ends.includes(end)
    ? tokenizer
    : { ...tokenizer, ends: [...tokenizer.ends, end] };
}

/** The files of `--tokenizer`: a folder needs no weights, anything else is a checkpoint. Throws UserError. */
async function tokenizerFiles(ref: string): Promise<ReadonlyMap<string, Uint8Array>> {
  if (fs.statSync(path.join(ref, "tokenizer.json"), { throwIfNoEntry: false })?.isFile()) {
    const names = [...TOKENIZER_FILES, "config.json"].filter((name) =>
      fs.statSync(path.join(ref, name), { throwIfNoEntry: false })?.isFile(),
    );
    return new Map(names.map((name) => [name, new Uint8Array(fs.readFileSync(path.join(ref, name)))]));
  }
  const other = await openPlain(ref);
  const { files } = other;
  other.close();
  return files;
}
