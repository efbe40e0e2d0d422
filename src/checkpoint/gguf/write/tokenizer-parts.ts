/** What the kinds of tokenizers share on their way into GGUF metadata. */
import { UserError } from "../../../errors.ts";
import type { JsonObject } from "../../../json.ts";

/** What a kind of tokenizer is told: tokenizer.json, and its tokens by id. */
export interface TokenizerSource {
  readonly definition: JsonObject;
  readonly model: JsonObject;
  readonly tokens: readonly string[];
  /** ggml's types of tokens, which a kind may refine. */
  readonly types: number[];
  warn(message: string): void;
}

/** The error of a tokenizer that has no form in a GGUF file. */
export const noForm = (what: string): UserError =>
  new UserError(
    `tokenizer.json: ${what}, which has no form in a GGUF file here`,
    "write x.safetensors or a folder, which llama.cpp's converter reads",
  );

/** What depends on the kind of tokenizer. */
export interface TokenizerParts {
  /** `tokenizer.ggml.model`. */
  readonly model: "llama" | "gpt2";
  /** `tokenizer.ggml.pre`. */
  readonly pre: string;
  readonly scores?: number[];
  readonly merges?: string[];
  readonly spacePrefix?: boolean;
}

/** Pairs in their order; tokenizer.json has them as lists of two or as texts with a space. Throws UserError. */
export function mergesOf(model: JsonObject): [string, string][] {
  return (Array.isArray(model.merges) ? model.merges : []).map((merge) => {
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(pair) || pair.length !== 2) throw noForm("a merge is not of two pieces");
    const [left, right] = pair.map(String);
    if (/ /.test(left! + right!)) throw noForm("a merge has a space in it");
    return [left!, right!];
  });
}
