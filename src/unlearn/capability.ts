/**
 * Capabilities of unlearning: what the loss of sequences is given beside their likelihoods. A method names them
 * (`needs: [likelihoods]`) and its `sequences` is given what they supply, by name and type.
 */
import type { TokenBatch } from "../data/batch.ts";
import type { GroupReference } from "../data/groups.ts";
import type { Sequence } from "../data/sequences.ts";
import type { Capability } from "../method/capability.ts";
import type { Options, Values } from "../method/options.ts";
import type { Stateful } from "../method/stateful.ts";
import type { Model } from "../model/model.ts";
import type { TextTools } from "../run/text-tools.ts";
import type { Program } from "../tensor/program.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The rows to forget. */
export interface ForgetSet {
  readonly sequences: readonly Sequence[];
  /** Where they were read. */
  readonly groups: readonly GroupReference[];
  readonly tools: TextTools;
  /** Id that fills up batches. */
  readonly pad: number;
  readonly seed: number;
  /** Who asks, for messages. */
  readonly method: string;
}

/** How the model as it was is asked before the first step. */
export interface Asking {
  readonly model: Model;
  /** The rows to forget as they are trained on. */
  readonly sequences: readonly Sequence[];
  readonly pad: number;
  /** Most rows of a batch. */
  readonly rows: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly warn: (text: string) => void;
}

/** Numbers of a batch's rows among the rows to forget; undefined for rows that only stand for the largest there are. */
export type RowNumbers = readonly (number | undefined)[];

/** What a capability does in the recording of the forget term. */
export interface Recording {
  readonly rows: RowNumbers;
  /**
   * (B, T): -log probability of every token that counts in other sequences, one for each row. `name` is the prefix of
   * their inputs and targets, which `fill` fills.
   */
  nll(batch: TokenBatch, name: string): Tensor;
}

/** A capability in one run. Its state is what `ask` found. */
export interface Supply<G = unknown> extends Stateful {
  /** The sequences to forget, perhaps several times each; as they are when left out. */
  readonly sequences?: readonly Sequence[];
  /** Asks the model as it was. Not called for a run that resumes, which has `load`. Throws UserError. */
  ask?(asking: Asking): Promise<void>;
  /** Declares what the loss is given. */
  record(rec: Recorder, recording: Recording): G;
  /** Fills what `record` declared. */
  fill(program: Program, rows: RowNumbers): void;
  /** Other sequences that go through the model beside the batch's rows. */
  beside?(rows: RowNumbers): TokenBatch;
}

export interface UnlearnCapability<G = unknown, O extends Options = Options> extends Capability<O> {
  /** Whether rows are read a second time, which stdin cannot give. */
  readonly readsAgain?: boolean;
  /** Reads what it needs, before any weight is read. Throws UserError. */
  supply(values: Values<O>, set: ForgetSet): Promise<Supply<G>>;
}

type Intersection<U> = (U extends unknown ? (u: U) => void : never) extends (i: infer I) => void ? I : never;

/** What the loss is given by the capabilities that its method needs. */
export type GivenBy<N extends readonly UnlearnCapability[]> = Intersection<
  N[number] extends infer C ? (C extends UnlearnCapability<infer G> ? G : never) : never
>;
