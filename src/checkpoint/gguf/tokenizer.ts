/**
 * The tokenizer of a GGUF file as the files that transformers writes: tokenizer.json, tokenizer_config.json,
 * special_tokens_map.json, chat_template.jinja, and the end tokens as generation_config.json.
 *
 * Two models are read: `llama` (SentencePiece's BPE, whose scores give the order of merges) and `gpt2` (byte-level BPE
 * with a list of merges, cut as `tokenizer.ggml.pre` names). Any other is told by name and left out, never guessed.
 */
import { show } from "../../json.ts";
import type { GgufMetadata } from "./header.ts";
import { numberOf } from "./numbers.ts";
import { preTokenizerOf } from "./pre-tokenizers.ts";
import { scoredMerges } from "./scored-merges.ts";

/** ggml's types of tokens; others are plain pieces. */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 } as const;

/** Why a tokenizer is not read. */
class NotRead extends Error {}

/** What the metadata says of a tokenizer, with the types of all elements checked. */
interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly metadata: GgufMetadata;
}

/** The parts of tokenizer.json that depend on the kind of tokenizer, and whether a text begins with the first token. */
interface Parts {
  readonly model: object;
  readonly normalizer: object | null;
  readonly preTokenizer: object | null;
  readonly decoder: object;
  readonly addBos: boolean;
}

/** Special tokens by their keys in the metadata and in tokenizer_config.json. */
const SPECIAL = { bos: "bos_token", eos: "eos_token", unknown: "unk_token", padding: "pad_token" } as const;
/** Keys of the tokens that end an answer. */
const ENDS = ["eos", "eot", "eom"] as const;

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** Texts of the files by name; none when the file has no tokenizer, or one that is not read, which `warn` is told. */
export function tokenizerFiles(
  metadata: GgufMetadata,
  ref: string,
  warn: (message: string) => void,
): Map<string, string> {
  const files = new Map<string, string>();
  const template = metadata.get("tokenizer.chat_template");
  if (typeof template === "string") files.set("chat_template.jinja", template);
  const ends = ENDS.flatMap((which) => idOf(metadata, which) ?? []);
  if (ends.length > 0) files.set("generation_config.json", json(generationConfig(metadata, [...new Set(ends)])));
  const model = metadata.get("tokenizer.ggml.model");
  if ((model === undefined || model === "none") && !metadata.has("tokenizer.ggml.tokens")) return files;
  try {
    const vocabulary = vocabularyOf(metadata);
    const parts = partsOf(vocabulary);
    const adds = {
      bos: flag(metadata, "add_bos_token") ?? parts.addBos,
      eos: flag(metadata, "add_eos_token") ?? false,
    };
    files.set("tokenizer.json", `${JSON.stringify(definition(vocabulary, parts, adds))}\n`);
    const special = specialTokens(vocabulary);
    files.set("special_tokens_map.json", json(special));
    const config = {
      add_bos_token: adds.bos && special.bos_token !== undefined,
      add_eos_token: adds.eos && special.eos_token !== undefined,
      ...special,
      clean_up_tokenization_spaces: false,
      model_max_length: contextLength(metadata),
      tokenizer_class: "PreTrainedTokenizerFast",
    };
    files.set("tokenizer_config.json", json(config));
  } catch (error) {
    if (!(error instanceof NotRead)) throw error;
    warn(`${ref}: its tokenizer is not read: ${error.message}`);
  }
  return files;
}

function vocabularyOf(metadata: GgufMetadata): Vocabulary {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  if (!Array.isArray(tokens) || tokens.length === 0 || tokens.some((token) => typeof token !== "string")) {
    throw new NotRead("tokenizer.ggml.tokens is not a list of texts");
  }
  const types = metadata.get("tokenizer.ggml.token_type") ?? tokens.map(() => TOKEN_TYPE.normal);
  if (!isNumbers(types, tokens.length)) throw new NotRead("tokenizer.ggml.token_type does not fit the tokens");
  if (new Set(tokens).size !== tokens.length) throw new NotRead("two of its tokens have the same text");
  return { tokens, types, metadata };
}

const isNumbers = (value: unknown, length: number): value is number[] =>
  Array.isArray(value) && value.length === length && value.every((element) => typeof element === "number");

function partsOf(vocabulary: Vocabulary): Parts {
  const model = vocabulary.metadata.get("tokenizer.ggml.model");
  if (model === "llama") return sentencePiece(vocabulary);
  if (model === "gpt2") return byteLevel(vocabulary);
  throw new NotRead(`its model is ${show(String(model))}; llama and gpt2 are read`);
}

const vocabOf = (tokens: readonly string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));

const BPE = {
  type: "BPE",
  dropout: null,
  unk_token: null as string | null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
};

function sentencePiece(vocabulary: Vocabulary): Parts {
  const { tokens, types, metadata } = vocabulary;
  const scores = metadata.get("tokenizer.ggml.scores");
  if (!isNumbers(scores, tokens.length)) throw new NotRead("tokenizer.ggml.scores does not fit the tokens");
  const merges = scoredMerges(tokens, scores, (id) => types[id] === TOKEN_TYPE.normal);
  if (merges === undefined) throw new NotRead("its tokens are too long");
  const prefix = flag(metadata, "add_space_prefix") ?? true;
  const replace = (from: string, to: string) => ({ type: "Replace", pattern: { String: from }, content: to });
  const decoders = [replace("\u2581", " "), { type: "ByteFallback" }, { type: "Fuse" }];
  return {
    model: {
      ...BPE,
      unk_token: tokens[specialId(vocabulary, "unknown") ?? -1] ?? null,
      fuse_unk: true,
      byte_fallback: types.filter((type) => type === TOKEN_TYPE.byte).length === 256,
      vocab: vocabOf(tokens),
      merges,
    },
    normalizer: {
      type: "Sequence",
      normalizers: [...(prefix ? [{ type: "Prepend", prepend: "\u2581" }] : []), replace(" ", "\u2581")],
    },
    preTokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [...decoders, ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : [])],
    },
    addBos: true,
  };
}

function byteLevel({ tokens, metadata }: Vocabulary): Parts {
  const name = metadata.get("tokenizer.ggml.pre");
  if (typeof name !== "string") throw new NotRead("it does not say how text is cut (tokenizer.ggml.pre)");
  const pre = preTokenizerOf(name);
  if (pre === undefined) throw new NotRead(`its way of cutting text, ${show(name)}, is not known here`);
  const lines = metadata.get("tokenizer.ggml.merges");
  if (!Array.isArray(lines)) throw new NotRead("tokenizer.ggml.merges is not a list of texts");
  const merges = lines.map((line: unknown) => {
    const pair = typeof line === "string" ? line.split(" ") : [];
    if (pair.length === 2) return pair;
    throw new NotRead(`a merge is ${show(String(line))}, expected two pieces with a space between them`);
  });
  return {
    model: { ...BPE, ignore_merges: pre.ignoreMerges, vocab: vocabOf(tokens), merges },
    normalizer: pre.normalizer,
    preTokenizer: pre.preTokenizer,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    addBos: pre.addBos,
  };
}

/** The whole of tokenizer.json. */
function definition(vocabulary: Vocabulary, parts: Parts, adds: { bos: boolean; eos: boolean }) {
  const { tokens, types, metadata } = vocabulary;
  const special = new Set(Object.keys(SPECIAL).flatMap((which) => specialId(vocabulary, which) ?? []));
  const added = tokens.flatMap((content, id) => {
    const marked = types[id] === TOKEN_TYPE.control || types[id] === TOKEN_TYPE.unknown || special.has(id);
    if (!marked && types[id] !== TOKEN_TYPE.user) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: marked }];
  });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: parts.normalizer,
    pre_tokenizer: parts.preTokenizer,
    post_processor: template(
      tokens,
      adds.bos ? idOf(metadata, "bos") : undefined,
      adds.eos ? idOf(metadata, "eos") : undefined,
    ),
    decoder: parts.decoder,
    model: parts.model,
  };
}

/** What is put around a text: the first token before it, the last one after it. */
function template(tokens: readonly string[], bos: number | undefined, eos: number | undefined): object | null {
  const around = [bos, eos].filter((id): id is number => id !== undefined && tokens[id] !== undefined);
  if (around.length === 0) return null;
  const put = (id: number | undefined, type: number) =>
    id !== undefined && tokens[id] !== undefined ? [{ SpecialToken: { id: tokens[id], type_id: type } }] : [];
  const part = (which: "A" | "B", type: number) => [
    ...put(bos, type),
    { Sequence: { id: which, type_id: type } },
    ...put(eos, type),
  ];
  return {
    type: "TemplateProcessing",
    single: part("A", 0),
    pair: [...part("A", 0), ...part("B", 1)],
    special_tokens: Object.fromEntries(
      around.map((id) => [tokens[id], { id: tokens[id], ids: [id], tokens: [tokens[id]] }]),
    ),
  };
}

function specialTokens(vocabulary: Vocabulary): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [which, key] of Object.entries(SPECIAL)) {
    const text = vocabulary.tokens[specialId(vocabulary, which) ?? -1];
    if (text !== undefined) found[key] = text;
  }
  return found;
}

/** The id of a special token; that of unknown text may be told by the type of a token alone. */
function specialId({ types, metadata }: Vocabulary, which: string): number | undefined {
  const stated = idOf(metadata, which);
  if (stated !== undefined || which !== "unknown") return stated;
  const typed = types.indexOf(TOKEN_TYPE.unknown);
  return typed === -1 ? undefined : typed;
}

/** The id of a special token by its key. */
function idOf(metadata: GgufMetadata, which: string): number | undefined {
  const id = numberOf(metadata.get(`tokenizer.ggml.${which}_token_id`));
  return id !== undefined && Number.isSafeInteger(id) && id >= 0 ? id : undefined;
}

function flag(metadata: GgufMetadata, key: string): boolean | undefined {
  const value = metadata.get(`tokenizer.ggml.${key}`);
  return typeof value === "boolean" ? value : undefined;
}

function generationConfig(metadata: GgufMetadata, ends: readonly number[]): Record<string, unknown> {
  const [bos, pad] = [idOf(metadata, "bos"), idOf(metadata, "padding")];
  return {
    ...(bos === undefined ? {} : { bos_token_id: bos }),
    eos_token_id: ends.length === 1 ? ends[0] : ends,
    ...(pad === undefined ? {} : { pad_token_id: pad }),
  };
}

function contextLength(metadata: GgufMetadata): number | undefined {
  return numberOf(metadata.get(`${String(metadata.get("general.architecture"))}.context_length`));
}
