/**
 * What a verifier is: a function from answers to rewards. A file of methods/verifiers/ is one; `--reward
 * "overlong:512,64"` is overlong.ts with its options max and cache.
 *
 * What stands behind the colon is read by the options of the verifier, in their order or by name
 * (`number:tolerance=0.1`), unless the verifier declares `argument`: then the text is its own, such as a regular
 * expression or a command.
 */
import type { Row } from "../../data/rows.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Laws } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { CommandLimits } from "./command/limits.ts";

/** What a prompt asked for: a share of the usual length of its answers, and the tokens that it allows. */
export interface Effort {
  readonly share: number;
  /** Infinite where any length is allowed. */
  readonly most: number;
}

/** An answer of a model, with the row whose prompt it answers. */
export interface Answered {
  readonly prompt: string;
  readonly answer: string;
  /** Tokens of the answer; undefined of one from a file that does not say. */
  readonly tokens: number | undefined;
  /** Whether the limit of tokens ended the answer. */
  readonly truncated: boolean;
  /** As read: its completion, and other keys such as `answer` in `extra`. */
  readonly row: Row;
  /** File and line of the row, "rows.jsonl:12". Answers of one place are a group. */
  readonly place: string;
  /** Of a prompt that asked for one. */
  readonly effort?: Effort;
}

/** Rewards of answers in their order; null of an answer that cannot be judged. */
export interface Verifier {
  readonly name: string;
  /** Throws UserError for what cannot judge, naming the row; rejects with the signal's reason once it is aborted. */
  score(answers: readonly Answered[], signal: AbortSignal): Promise<readonly (number | null)[]>;
  /** Loads what it needs beforehand, once there is a device; `score` does so by itself. */
  ready?(): Promise<void>;
  /** Ends what runs for it. */
  free?(): void;
}

/** The laws of verifiers. */
export const VERIFIER_LAWS = {
  alone: "the reward of an answer does not depend on the answers beside it",
  truth: "an answer that is the row's own completion has the largest reward",
  range: "rewards are between the two ends of the range",
} as const;

export type VerifierLaw = keyof typeof VERIFIER_LAWS;

/** What a verifier knows when it is made. */
export interface VerifierSetup<O extends Options = Options> {
  readonly values: Values<O>;
  /** What stands behind the colon; "" where nothing does. */
  readonly text: string;
  /** Most tokens of an answer, where they are known. */
  readonly maxTokens: number | undefined;
  readonly limits: CommandLimits;
  /** The device for models, once there is one; asked for when answers are judged, not before. */
  gpu(): Promise<Gpu>;
  /** Another verifier under its defaults, for rewards that depend on whether an answer is right. */
  judge(name: string): Promise<Verifier>;
  /** Throws UserError that names the term of `--reward`. */
  refuse(problem: string, hint?: string): never;
}

/** How a verifier judges. */
export type Judging = Omit<Verifier, "name">;

export interface VerifierMethod<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<VerifierLaw>;
  /** The text behind the colon is its own, and is called so in help; `options` are none. */
  readonly argument?: { readonly value: string; readonly help: string; readonly required: boolean };
  /** The least and the largest reward under its defaults. */
  readonly range: readonly [number, number];
  /** Why no weight below 0 makes sense, for a verifier whose rewards are penalties. */
  readonly penalty?: string;
  /** An argument that the laws are tried with; none when left out. */
  readonly trial?: string;
  /** Throws UserError for settings that contradict each other. */
  make(setup: VerifierSetup<O>): Judging | Promise<Judging>;
}

export const defineVerifier = <const O extends Options>(verifier: VerifierMethod<O>): VerifierMethod<O> => ({
  ...verifier,
  explained: [["written", formOf(verifier)]],
});

/** How a term is written: `overlong:MAX,CACHE`. */
export function formOf({ name, options, argument }: Pick<VerifierMethod, "name" | "options" | "argument">): string {
  const parts = argument
    ? [argument.value]
    : Object.entries(options).map(([key, { value }]) => value ?? key.toUpperCase());
  const isNeeded = argument ? argument.required : Object.values(options).some(({ required }) => required);
  if (parts.length === 0) return name;
  return isNeeded ? `${name}:${parts.join(",")}` : `${name}[:${parts.join(",")}]`;
}

/** Judges answers one by one. */
export const each = (judge: (answer: Answered) => number | null): Judging => ({
  score: async (answers) => answers.map(judge),
});

declare module "../../method/registry.ts" {
  interface Contracts {
    verifier: VerifierMethod;
  }
}
