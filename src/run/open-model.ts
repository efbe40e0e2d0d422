/** From a reference to all that is known of a model before its weights are read. */
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { open } from "../checkpoint/open.ts";
import type { ExampleReader } from "../data/examples.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import { liveChoice, tokensAhead } from "../model/adapters/from-file.ts";
import type { Json, ModelSizes } from "../model/architecture.ts";
import { configOf, describeConfig, type ModelDescription } from "../model/description.ts";
import { type Embedding, longestOf } from "../model/embedder.ts";
import type { LoadIn } from "../model/held-codes.ts";
import { classifierTools } from "./example-reader.ts";
import { type TextOptions, type TextTools, textTools } from "./text-tools.ts";

export interface DescribedModel extends ModelDescription {
  /** Names the model in messages. */
  readonly ref: string;
  readonly task: ModelDescription["architecture"]["task"];
  /** Tokenizer, template and length of rows; undefined for a classifier. */
  readonly tools: TextTools | undefined;
  /** What a classifier takes. */
  readonly examples: ExampleReader;
  /** Of a decoder with a head for classes: what reads prompts and answers, as `tools` of a language model does. */
  readonly answers?: TextTools | undefined;
  /** Files to save beside weights: the model's own, with those of a tokenizer that was chosen for it. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Files of a model, opened, and its config where that is known already. */
export interface ModelFiles {
  readonly ref: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly json?: Json;
  /** Undefined of a new model. */
  readonly tensors?: ReadonlyMap<string, TensorEntry> | undefined;
  /** A model in the making: its config gains the ids of the tokenizer's first and last token. */
  readonly isNew?: boolean;
  /** Where it is read as an embedder. */
  readonly embeds?: Embedding | undefined;
  /** An adapter that stays beside the weights. */
  readonly live?: Checkpoint;
  /** Tokens that an adapter in the making puts before every sequence. */
  readonly ahead?: number | undefined;
}

/** The files with `bos_token_id` and `eos_token_id` in config.json, where the tokenizer has them and it does not. */
function withTokenIds(files: ReadonlyMap<string, Uint8Array>, { bos, eos }: Tokenizer): Map<string, Uint8Array> {
  const config = JSON.parse(new TextDecoder().decode(files.get("config.json")!)) as Json;
  const ids = {
    ...(bos === undefined ? {} : { bos_token_id: bos }),
    ...(eos === undefined ? {} : { eos_token_id: eos }),
  };
  return new Map([
    ...files,
    ["config.json", new TextEncoder().encode(`${JSON.stringify({ ...config, ...ids, ...config }, null, 2)}\n`)],
  ]);
}

/** Options with the length that an embedder's own files say, where no option does. */
function limited({ embeds, ref, files }: ModelFiles, { maxPositions }: ModelSizes, options: TextOptions): TextOptions {
  const most = embeds && options.max_length === undefined ? longestOf({ ref, files }) : undefined;
  return most === undefined ? options : { ...options, max_length: Math.min(most, maxPositions) };
}

/** What reads prompts and answers for a head on a decoder; rows of classes have told of the length already. */
const answerTools = (
  { ref, files }: ModelFiles,
  sizes: ModelSizes,
  options: TextOptions,
  warn?: (message: string) => void,
) => textTools(files, ref, { ...sizes, outputs: sizes.text!.vocabulary }, options, warn);

/** Reads config and tokenizer of what is open. Throws UserError when they do not fit. */
export async function describeModel(
  source: ModelFiles,
  options: TextOptions = {},
  warn?: (message: string) => void,
): Promise<DescribedModel> {
  const { ref, files } = source;
  const description = await describeConfig(source.json ?? configOf(source), ref, warn, source);
  const { architecture } = description;
  const ahead = source.ahead ?? (source.live ? await tokensAhead(await liveChoice(source.live)) : 0);
  const sizes = { ...description.sizes, maxPositions: description.sizes.maxPositions - ahead };
  const { task } = architecture;
  const { max_length: wanted = 0 } = options;
  if (ahead > 0 && wanted > sizes.maxPositions)
    throw new UserError(
      `--max-length ${wanted} leaves no room for the ${ahead} tokens that the adapter puts before every row in the ${description.sizes.maxPositions} positions of ${ref}`,
      `${sizes.maxPositions} is the most`,
    );
  const tools = task === "causal-lm" ? await textTools(files, ref, sizes, options, warn) : undefined;
  if (!tools) {
    const { reader, files: whole } = await classifierTools(files, ref, sizes, limited(source, sizes, options), warn);
    const examples =
      task === "embedder"
        ? { ...reader, pairs: true }
        : task === "token-classifier"
          ? { ...reader, everyToken: true }
          : task === "regressor"
            ? { ...reader, predicts: sizes.outputs }
            : task === "denoiser"
              ? { ...reader, denoises: true, unlabelled: sizes.outputs === 0 || ("some" as const) }
              : reader;
    const answers = architecture.classHead && (await answerTools(source, sizes, options, warn));
    return { ...description, sizes, ref, task, tools, examples, answers, files: whole };
  }
  const named = source.isNew && tools.tokenizer ? withTokenIds(tools.files, tools.tokenizer) : tools.files;
  return { ...description, sizes, ref, task, tools, examples: { classes: sizes.outputs }, files: named };
}

/** Adapters stay beside weights that are held as codes: a change of these would have to be rounded to them. */
export const liveAdapters = ({ load_in: loadIn }: { readonly load_in?: LoadIn | undefined }): true | "all" =>
  loadIn === undefined ? true : "all";

/**
 * Opens a checkpoint and reads its config and tokenizer; no weights. Throws UserError. The caller closes the
 * checkpoint.
 *
 *   const { checkpoint, sizes, tools } = await openModel("models/small", { max_length: 256 });
 */
export async function openModel(
  ref: string,
  options: TextOptions & { readonly load_in?: LoadIn | undefined } = {},
  warn?: (message: string) => void,
): Promise<DescribedModel & { readonly checkpoint: Checkpoint }> {
  const checkpoint = await open(ref, { live: liveAdapters(options), ...(warn ? { warn } : {}) });
  try {
    return { ...(await describeModel(checkpoint, options, warn)), checkpoint };
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}
