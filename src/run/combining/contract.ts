/**
 * What a decoder is: a rule from the logits of several views to one distribution of the next token. A view is a model
 * that is run in one way: as it is, on another prompt, with other experts, or read after a layer. Each file of
 * sample/methods/ exports one as `method`: `sample --method eft` is eft.ts.
 *
 * The rule stands on the host and is the same wherever its distribution is asked for: `sample` draws from it,
 * `evaluate` scores with it, `distill cache` writes it down as a teacher's.
 */
import type { Laws } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { ModelSizes } from "../../model/architecture.ts";

/** What may hold of a decoder, under its defaults. */
export const DECODER_LAWS = {
  shiftFree: "a constant added to all logits of a view changes nothing",
  alike: "where all views say the same, so does the rule",
  whole: "every token that a view gives some probability keeps some",
} as const;

export type DecoderLaw = keyof typeof DECODER_LAWS;

/** A model that is run in one way. Views of one model that differ in `layer` alone are one pass. */
export interface View {
  /** By place: 0 is the first model, the others are those of `--with`. */
  readonly model: number;
  /**
   * What it reads in the place of a prompt (not empty); what is written after the prompt follows. The same function
   * object in several views makes them one pass.
   */
  readonly prompt?: (ids: readonly number[]) => readonly number[];
  /** The experts that every token takes, by rank: 0 is its likeliest one. Of mixtures of experts alone. */
  readonly ranks?: readonly number[];
  /** Layers after which the head reads; 0 is the embedding, all of them when left out. */
  readonly layer?: number;
}

/** What is known of a model before its weights are read. */
export interface ViewedModel {
  /** Names it in messages. */
  readonly ref: string;
  readonly sizes: ModelSizes;
  /** Of a mixture of experts. */
  readonly experts?: { readonly count: number; readonly perToken: number } | undefined;
}

export interface DecoderGiven<O extends Options = Options> {
  readonly values: Values<O>;
  /** The first one, and those of `--with`. */
  readonly models: readonly ViewedModel[];
  /** The tokens of a text as a prompt of plain text has them, with what stands at its beginning. */
  encode(text: string): readonly number[];
  decode(ids: readonly number[]): string;
}

/** Where a token is decided. */
export interface Place {
  /** All tokens so far: the prompt as it was given, and what was written. */
  readonly tokens: readonly number[];
  /** Keeps a number about this token: `--json` has them all, by name. */
  note(name: string, value: number): void;
}

/**
 * The logits (V) of the next token from those of each view, (V) each, in the order of the rule's views. They may be
 * -Infinity, where a token has no probability; not all of them.
 */
export type Combine = (said: readonly Float32Array[], place: Place) => Float32Array | Float64Array;

/** A decoder at work. */
export interface Rule {
  readonly views: readonly View[];
  /** Begins an answer to a prompt; what is to be kept from token to token stands in the closure. */
  begin(prompt: readonly number[]): Combine;
  /** Whether it keeps something from token to token, which drafted tokens that are taken back would spoil. */
  readonly remembers?: true;
  /** What is worth saying before it runs. */
  readonly remark?: string;
}

export interface DecoderMethod<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<DecoderLaw>;
  /** Fewest and most models, the first one counted. */
  readonly models: readonly [least: number, most: number];
  /** What the models are, in their order: "a large model, then --with its ...". */
  readonly roles: string;
  /** Makes the rule, before a weight is read. Throws UserError, naming a flag, for what does not fit. */
  make(given: DecoderGiven<O>): Rule;
}

/** Every option of a decoder begins with its name: `eft_scale`. */
export const defineDecoder = <const O extends Options>(method: DecoderMethod<O>): DecoderMethod<O> => ({
  explained: [["models", method.roles]],
  ...method,
});

declare module "../../method/registry.ts" {
  interface Contracts {
    decoder: DecoderMethod;
  }
}
