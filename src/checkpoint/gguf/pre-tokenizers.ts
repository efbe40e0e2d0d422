/**
 * How a byte-level BPE of GGUF cuts text before its merges: `tokenizer.ggml.pre` by name, as the parts of
 * tokenizer.json that the models of that name have. The names and expressions are those of llama.cpp
 * (src/llama-vocab.cpp), which took them from each model's tokenizer.json.
 */

/** Parts of tokenizer.json. */
export interface PreTokenizer {
  readonly normalizer: object | null;
  readonly preTokenizer: object;
  /** A word that is a token is taken whole, without merges. */
  readonly ignoreMerges: boolean;
  /** A text begins with the first token even where the file does not say so. */
  readonly addBos: boolean;
}

const byteLevel = (expression: boolean) => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: expression,
});
const split = (expression: string) => ({
  type: "Split",
  pattern: { Regex: expression },
  behavior: "Isolated",
  invert: false,
});
const sequence = (...parts: object[]) => ({ type: "Sequence", pretokenizers: parts });
/** Expressions applied one after the other, then bytes as characters. */
const splits = (...expressions: string[]) => sequence(...expressions.map(split), byteLevel(false));

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/** GPT-4's expression with `digits` as what may stand for a number. */
const gpt4 = (digits: string) =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`;
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
/** Words that end where a capital begins (o200k and Tekken). */
const cased = (after: string, digits: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${after}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${after}|` +
  `${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;

const plain = (preTokenizer: object, more: Partial<PreTokenizer> = {}): PreTokenizer => ({
  normalizer: null,
  preTokenizer,
  ignoreMerges: false,
  addBos: false,
  ...more,
});
const NFC = { normalizer: { type: "NFC" } };

const LLAMA3 = plain(splits(gpt4("\\p{N}{1,3}")), { ignoreMerges: true, addBos: true });
/** Llama 3's cuts without its ways with whole words and first tokens: cl100k, GLM-4. */
const DBRX = plain(splits(gpt4("\\p{N}{1,3}")));
const QWEN2 = plain(splits(gpt4("\\p{N}")), NFC);
const SMOLLM = plain(sequence({ type: "Digits", individual_digits: true }, byteLevel(true)));
const O200K = plain(splits(cased(`${CONTRACTIONS}?`, "\\p{N}{1,3}")));

const BY_NAME: Readonly<Record<string, PreTokenizer>> = {
  // What llama.cpp does for a file whose converter knew no name.
  default: plain(splits("[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]")),
  "gpt-2": plain(byteLevel(true)),
  "phi-2": plain(byteLevel(true)),
  llama3: LLAMA3,
  "llama-v3": LLAMA3,
  "llama-bpe": LLAMA3,
  falcon3: LLAMA3,
  qwen2: QWEN2,
  "deepseek-r1-qwen": QWEN2,
  qwen35: plain(
    splits(
      `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`,
    ),
    NFC,
  ),
  smollm: SMOLLM,
  starcoder: SMOLLM,
  refact: SMOLLM,
  "command-r": { ...SMOLLM, ...NFC },
  exaone4: plain(byteLevel(true)),
  dbrx: DBRX,
  "smaug-bpe": DBRX,
  glm4: DBRX,
  "chatglm-bpe": DBRX,
  "gpt-4o": O200K,
  llama4: O200K,
  tekken: plain(splits(cased("", "\\p{N}")), { ignoreMerges: true, addBos: true }),
};

/** The parts that a name of `tokenizer.ggml.pre` stands for; undefined when it is not known here. */
export const preTokenizerOf = (name: string): PreTokenizer | undefined =>
  Object.hasOwn(BY_NAME, name) ? BY_NAME[name] : undefined;

/** All names; of several for one way, the one that llama.cpp's converter writes comes first. */
export const PRE_TOKENIZER_NAMES: readonly string[] = [
  ...new Set(["gpt-2", "llama-bpe", "dbrx", "qwen2", "smollm", "gpt-4o", "tekken", ...Object.keys(BY_NAME)]),
];
