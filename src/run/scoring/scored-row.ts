/** A row that a model was run on: what every metric, and every score of rows, is made of. */
import { countedLoss } from "./mean-loss.ts";

/** Arrays hold one entry per token that counts, or a single one for a classifier. */
export interface ScoredRow {
  /** Position of its group. */
  readonly group: number;
  readonly targets: Int32Array;
  /** -log probability of the target; of a regressor the mean square of its errors. */
  readonly nll: Float32Array;
  readonly argmax: Uint32Array;
  /** Probability of the most likely output. */
  readonly confidence: Float32Array;
  /**
   * What greedy decoding gave, and what it should have given, and how alike both are to an encoder, a cosine; where a
   * metric needs it.
   */
  readonly generated?: { readonly found: string; readonly expected: string; readonly likeness?: number };
  /** Whether what counts was cut short, so that the row is not answered whatever the model says. */
  readonly isCut?: boolean;
  /**
   * Several answers; where a metric needs them. Missing where an answer by itself is longer than the model reads.
   */
  readonly choice?: ScoredChoices;
  /** Numbers that a task found of the row, by name; NaN where one is unknown. */
  readonly scores?: Readonly<Record<string, number>>;
  /** Whether the last token is the one that ends a text. */
  readonly ended?: boolean;
  /** Mean and variance of the log-probabilities of all outputs, two entries per token; where a metric needs it. */
  readonly moments?: Float32Array;
  /**
   * Of a draft model: what its probabilities have in common with the model's, from 0 to 1, and its best guess; where a
   * metric needs it.
   */
  readonly draft?: { readonly overlap: Float32Array; readonly argmax: Uint32Array };
  /** Of a classifier: the probability of every class; where a metric needs it. */
  readonly probabilities?: Float32Array;
  /** The same under a model of its form that never learnt anything; where a metric needs it. */
  readonly untrained?: Float32Array;
  /** Bytes of the text that counts after deflate; where a metric needs it. */
  readonly packedBytes?: number;
  /**
   * Mean losses of a right answer in other words (one or several) and of wrong ones; where a metric needs them and the
   * row has them.
   */
  readonly truth?: AnswerLosses;
  /**
   * Mean losses of the right one of several options and of the wrong ones; where a metric needs them and the row has
   * them.
   */
  readonly options?: AnswerLosses;
  /** Mean losses of paraphrases of the answer; where a metric needs them and the row has them. */
  readonly paraphrases?: readonly number[];
  /** Of a pair of texts, as an embedder sees it; where a metric needs it. */
  readonly pair?: ScoredPair;
  /** Of a regressor: what it says, and what the row says. */
  readonly numbers?: { readonly found: Float32Array; readonly wanted: Float32Array };
  /** Mean over the weights' tensors of the norm of the gradient of the row's mean loss; where a metric needs it. */
  readonly gradientNorm?: number;
}

/** The choices of a row, each alone behind the prompt. */
export interface ScoredChoices {
  /** Sums over the tokens of each choice, in nats. */
  readonly losses: readonly number[];
  readonly tokens: readonly number[];
  /** Bytes of each choice in UTF-8. */
  readonly bytes: readonly number[];
  /** Whether every token of a choice is the likeliest at its place. */
  readonly isGreedy: readonly boolean[];
  /** The place of the right one. */
  readonly expected: number;
  /** What `losses` are under a model that this one is compared with; where there is one. */
  readonly reference?: readonly number[];
}

/** A pair of texts and what its first one is compared with. */
export interface ScoredPair {
  /** Of the vectors of both. */
  readonly cosine: number;
  /** Texts of the group, its second ones and negatives, of which each counts once. */
  readonly candidates: number;
  /** 1 and how many of them are as near to the first text as the second one is, or nearer. */
  readonly rank: number;
  /** How alike the two are, as the row says. */
  readonly score: number | undefined;
}

/** Mean losses of whole answers, in nats per token. */
export interface AnswerLosses {
  readonly right: readonly number[];
  readonly wrong: readonly number[];
}

/**
 * What rows must hold besides scores. `generated` is cut where an exact match is decided, `continued` only by the most
 * tokens that are asked for; `truth`, `options` and `paraphrases` are further answers, which rows name.
 */
export type Need =
  | "generated"
  | "continued"
  | "likeness"
  | "choice"
  | "preference"
  | "moments"
  | "draft"
  | "probabilities"
  | "untrained"
  | "gradient"
  | "packed-bytes"
  | "truth"
  | "options"
  | "pair"
  | "pair-score"
  | "paraphrases";

/** Tokens that count, the end of the text included. */
export const tokens = ({ nll }: ScoredRow): number => nll.length;

/** Tokens that count, without the one that ends the text. */
export const bodyTokens = ({ nll, ended }: ScoredRow): number => nll.length - (ended ? 1 : 0);

/** Sum of the losses, in nats; 0 where no token counts. */
export const summedLoss = (row: ScoredRow): number => countedLoss(row).sum;

/** Tokens whose most likely output is the target. */
export const rightTokens = ({ targets, argmax }: ScoredRow): number =>
  targets.reduce((n, target, i) => n + (argmax[i] === target ? 1 : 0), 0);
