/** A byte-level BPE as GGUF metadata: its merges, and llama.cpp's name of the way in which it cuts text. */
import { isObject, type Json } from "../../../json.ts";
import { PRE_TOKENIZER_NAMES, preTokenizerOf } from "../pre-tokenizers.ts";
import { mergesOf, noForm, type TokenizerParts, type TokenizerSource } from "./tokenizer-parts.ts";

/** Throws UserError when llama.cpp has no name, known here, for how the tokenizer cuts text. */
export function byteLevelParts({ definition, model, warn }: TokenizerSource): TokenizerParts {
  const { normalizer, pre_tokenizer: cut } = definition;
  const wanted = canonical([normalizer ?? null, cut ?? null]);
  const named = PRE_TOKENIZER_NAMES.filter((name) => {
    const known = preTokenizerOf(name)!;
    return canonical([known.normalizer, known.preTokenizer]) === wanted;
  });
  const ignores = model.ignore_merges === true;
  const pre = named.find((name) => preTokenizerOf(name)!.ignoreMerges === ignores) ?? named[0];
  if (pre === undefined) throw noForm("llama.cpp's name for its way of cutting text is not known");
  if (preTokenizerOf(pre)!.ignoreMerges !== ignores) {
    const [does, says] = ignores ? ["joins it by merges", "whole"] : ["takes it whole", "by merges"];
    warn(`llama.cpp (${pre}) ${does} where a word is a token, and this tokenizer takes it ${says}`);
  }
  if (model.byte_fallback === true || model.continuing_subword_prefix || model.end_of_word_suffix) {
    throw noForm("it marks pieces of words");
  }
  return { model: "gpt2", pre, merges: mergesOf(model).map(([left, right]) => `${left} ${right}`) };
}

/** One text for parts of a tokenizer that do the same. */
function canonical(value: Json | object): string {
  return JSON.stringify(simplified(value as Json));
}

function simplified(value: Json): Json {
  if (Array.isArray(value)) return value.map(simplified);
  if (!isObject(value)) return value;
  const { trim_offsets: _, ...rest } = value; // of places in the text, not of tokens
  if (rest.type === "ByteLevel") rest.use_regex ??= true;
  if (rest.type === "Split") rest.invert ??= false;
  const parts = rest.type === "Sequence" ? (rest.pretokenizers ?? rest.normalizers) : undefined;
  if (Array.isArray(parts) && parts.length === 1) return simplified(parts[0]!);
  return Object.fromEntries(
    Object.keys(rest)
      .sort()
      .map((key) => [key, simplified(rest[key]!)]),
  );
}
