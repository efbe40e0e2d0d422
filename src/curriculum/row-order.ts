/**
 * Follows an ordering through a training: measures the losses of rows that it asks for, and gives the rows of every
 * pass.
 */
import type { Json } from "../json.ts";
import type { Bound } from "../method/bind.ts";
import type { Model } from "../model/model.ts";
import type { CommandContext } from "../run/command-context.ts";
import { rowLosses } from "../run/scoring/row-losses.ts";
import { Scorer } from "../run/scoring/scorer.ts";
import type { Controller } from "../run/training/controller.ts";
import type { OrderingMethod } from "./contract.ts";
import type { Rows } from "./source.ts";

export interface RowOrderOptions {
  readonly ordering: Bound<OrderingMethod>;
  readonly rows: Rows;
  /** Losses that are known before; measured when left out. */
  readonly scores?: Float64Array | undefined;
  readonly model: Model;
  /** Batches of the whole training. */
  readonly batches: number;
  readonly batchSize: number;
  readonly seed: number;
  readonly context: Pick<CommandContext, "log" | "signal">;
}

/** Its state is the losses of the start, which a training that resumes cannot measure again. */
export class RowOrder implements Controller {
  readonly name = "ordering";
  readonly #given: RowOrderOptions;
  /** Kept from pass to pass: its programs are compiled once. */
  readonly #scorer: Scorer;
  #scores: Float64Array | undefined;

  constructor(given: RowOrderOptions) {
    this.#given = given;
    this.#scores = given.scores;
    this.#scorer = new Scorer(given.model);
  }

  /** The rows of pass `epoch`, after so many batches of the training. */
  async rows(epoch: number, done: number): Promise<Uint32Array> {
    const { ordering, rows, batches, seed, context } = this.#given;
    const { method, values } = ordering;
    if (method.needs === "live" || (method.needs === "scores" && !this.#scores)) this.#scores = await this.#losses();
    const share = Math.min(1, done / batches);
    const { lengths } = rows;
    const order = method.rows({ lengths, scores: this.#scores ?? [], done: share, epoch, seed, values });
    context.log.event("pass", { epoch, rows: order.length, done: share });
    return order;
  }

  /** Mean loss of every row under the current model, NaN where no token counts. */
  async #losses(): Promise<Float64Array> {
    const { rows, batchSize, context } = this.#given;
    const losses = await rowLosses(this.#scorer, rows.items, { rows: batchSize, signal: context.signal });
    return Float64Array.from(losses, ({ mean }) => mean);
  }

  state(): Json {
    // JSON has no NaN.
    return this.#scores ? Array.from(this.#scores, (score) => (Number.isNaN(score) ? null : score)) : null;
  }

  load(state: Json): void {
    if (!Array.isArray(state)) return;
    this.#scores = Float64Array.from(state, (score) => (typeof score === "number" ? score : Number.NaN));
  }

  async free(): Promise<void> {
    await this.#scorer.free();
  }
}
