/** What a tokenizer is: text to tokens and back. */
import type { Sentences } from "./tokenization/sentence-template.ts";

export interface DecodeOptions {
  /** Leaves special tokens out of the text. */
  skipSpecial?: boolean;
}

export interface EncodeTextOptions {
  /** Adds the tokens that the tokenizer itself puts around a text (a leading <s>), or only those before it. */
  special?: boolean | "before";
}

/** Gives text token by token; a character split over tokens appears with the last of them. */
export interface StreamDecoder {
  push(id: number): string;
  /** What is left, with U+FFFD for a character that never ended. */
  end(): string;
}

export interface Tokenizer {
  readonly name: string;
  /** One more than the largest id. */
  readonly vocabSize: number;
  readonly pad?: number;
  readonly bos?: number;
  /** Ends texts and completions that are learned. */
  readonly eos?: number;
  /** Tokens that end an answer; `eos` is one of them. */
  readonly ends: readonly number[];
  /** The files that save it beside a model, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  encode(text: string, options?: EncodeTextOptions): Int32Array;
  /** Tokens of a text, or of two, with what the tokenizer puts around them. */
  arrange(first: readonly number[], second?: readonly number[]): Sentences;
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  decoder(options?: DecodeOptions): StreamDecoder;
  idOf(token: string): number | undefined;
}

/** Hint where neither the model nor the options have a tokenizer. */
export const NAME_TOKENIZER =
  "give --tokenizer and a folder that has the model's, or --tokenizer byte if it learns bytes";
