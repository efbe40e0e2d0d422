/**
 * What a test-time method is: how a classifier goes on adapting to the rows that it answers, without their labels. Each
 * file of adapt/methods/test-time/ is one: `adapt stream --method tent` is tent.ts.
 *
 * Rows come batch by batch. The frame asks for the answers to a batch first, counts what is right (which a method never
 * learns), and then lets the method learn from the same batch:
 *
 *   begin    once, at the source model: prototypes, importances, warm-up on source rows
 *   predict  scores of a batch, by what was learnt from the batches before; it changes nothing
 *   learn    takes the batch in; left out by methods that stay as they are
 *   reset    back to where `begin` ended, bit by bit
 *   finish   gives the model the weights that are to be saved
 *
 * Methods with gradients are put together of `Student` and of losses.ts. A method that keeps rows, prototypes or heads
 * of its own in place of gradients has no need of these: it answers `predict` from what it keeps.
 */
import type { ExampleBatch } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import type { Bound } from "../../method/bind.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Json as ModelJson } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import type { Optimizer } from "../training/optimizer.ts";
import type { SourceRows } from "./source-rows.ts";

/** Rows of the stream that come at once, without labels. */
export interface StreamBatch {
  readonly batch: ExampleBatch;
  readonly rows: readonly Example[];
  /** Its place in the stream, from 0; below 0 of rows that are measured and not learnt from. */
  readonly index: number;
}

/** What a batch is answered with. */
export interface Predicted {
  /** (B, K), logits or probabilities: the largest of a row is its answer. */
  readonly scores: Float32Array;
  /** (B, K), logits that the method learns from where they are not the scores. */
  readonly targets?: Float32Array;
  /** (B, d), what the head read, where the method learns from it. */
  readonly features?: Float32Array;
  /** Numbers that it was answered with. */
  readonly values?: Readonly<Record<string, number>>;
}

/** A method in one run. */
export interface Learner {
  predict(batch: StreamBatch): Promise<Predicted>;
  learn?(batch: StreamBatch, predicted: Predicted): Promise<void>;
  reset(): Promise<void> | void;
  finish?(): Promise<void> | void;
  /** What else the result as JSON says of the stream since the last reset. */
  tells?(): Readonly<Record<string, Json>>;
  free?(): void;
}

/** What a method knows of a run. */
export interface Setting<V = unknown> {
  readonly gpu: Gpu;
  /** The source model, with gradients of what the method trains; weights are f32. */
  readonly model: Model;
  readonly values: V;
  /** K */
  readonly classes: number;
  /** Rows of a batch; the last one of a domain may have fewer. */
  readonly batchSize: number;
  readonly seed: number;
  /** The learning rate. */
  readonly rate: number;
  readonly optimizer: Bound<Optimizer>;
  /** Labelled rows of the source, where some were given. */
  readonly source: SourceRows | undefined;
  /** Other views of rows: a function of them, of `key` and of the seed. */
  augment(rows: readonly Example[], key: string): ExampleBatch;
  readonly signal: AbortSignal;
  info(text: string): void;
}

/** What is known before weights are read. */
export interface Given {
  readonly hasSource: boolean;
  readonly hasBatchNorm: boolean;
  /** config.json */
  readonly json: ModelJson;
}

/** Whether a method trains a weight; `norms` are the names of gains and biases of norms. */
export const trainsWeight = (
  { trains }: Pick<TestTimeMethod, "trains">,
  name: string,
  norms: ReadonlySet<string>,
): boolean =>
  typeof trains === "function" ? trains(name) : trains === "all" || (trains === "norms" && norms.has(name));

export interface TestTimeMethod<O extends Options = Options> extends MethodInfo<O> {
  /** Weights of the model that it trains: gains and biases of norms alone, all, none, or those whose names it takes. */
  readonly trains: "none" | "norms" | "all" | ((name: string) => boolean);
  /** Its learning rate where none is given. */
  readonly rate?: number;
  /** Throws UserError for values that do not fit together, or for what is missing, before any work. */
  check?(values: Values<O>, given: Given): void;
  begin(setting: Setting<Values<O>>): Learner | Promise<Learner>;
}

/** Declares a method; infers the types of its options. */
export const testTimeMethod = <const O extends Options>(method: TestTimeMethod<O>): TestTimeMethod<O> => method;

declare module "../../method/registry.ts" {
  interface Contracts {
    "test-time": TestTimeMethod;
  }
}
