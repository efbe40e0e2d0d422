/**
 * What an objective is: the loss of a batch as recorded steps. Training, distillation and unlearning differ only in
 * this.
 *
 * The loop makes one program per `key` (shapes differ, programs are fixed), fills its inputs, runs it, and adds
 * gradients up over the micro-batches of a step. Metrics are sums over micro-batches, so an objective weights its
 * terms by what the whole step counts.
 */
import { type Batch, batchKey, placesOf } from "../../data/batch.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export interface RecordedLoss {
  /** Tensors to go back from, each with its gradient. */
  readonly backward: readonly (readonly [Tensor, Tensor])[];
  /** Scalars to report, (1) each; `loss` must be one of them. */
  readonly metrics: Readonly<Record<string, Tensor>>;
}

export interface Objective<B> {
  readonly name: string;
  /** Parts with a program each, such as forget and retain, whose gradients add up; one when left out. */
  readonly parts?: readonly string[];
  /**
   * Whether its parts are groups of the same rows (by-group.ts): they share programs, a step has those that count in
   * it, and metrics are named PART/NAME.
   */
  readonly grouped?: true;
  /** Hears of which step, from 1, the batches are that it is asked for next. */
  begin?(step: number): void;
  /** The parts of the step that began, the first of all parts among them; all when left out. */
  current?(): readonly string[];
  /** Batches with the same key share programs. */
  key(batch: B): string;
  /** Records forward pass and loss for batches like this one. */
  record(rec: Recorder, batch: B, part: string): RecordedLoss;
  /** Fills the program's inputs. `total` is the sum of `counted` over the step's micro-batches. */
  fill(program: Program, batch: B, total: number, part: string): void;
  /** What the batch adds to the denominator of the mean: tokens, examples, or sequences. */
  counted(batch: B, part: string): number;
  /** Tokens (or examples) that pass through the model, for speed. */
  size(batch: B): number;
  /** What is reported of a step, from its metrics summed over micro-batches; as they are when left out. */
  report?(metrics: Readonly<Record<string, number>>, batches: readonly B[]): Record<string, number>;
  /** Where its rows are from, for messages. */
  describe?(batch: B): string;
}

/**
 * The members of an objective that follow from the batch that its model reads, for objectives whose mean is over
 * tokens or examples. `own` gives that batch of a technique's own.
 *
 *   const objective: Objective<DistillBatch> = { name: "kd", ...ofBatch(({ batch }) => batch), record, fill };
 */
export const ofBatch = <B>(
  own: (batch: B) => Batch,
): Required<Pick<Objective<B>, "key" | "counted" | "size" | "describe">> => ({
  key: (batch) => batchKey(own(batch)),
  counted: (batch) => own(batch).counted,
  size: (batch) => own(batch).rows * own(batch).length,
  describe: (batch) => placesOf(own(batch)),
});
