/**
 * A stream that is answered before it is learnt (`train --prequential`): the forward pass of a step is made with the
 * weights before it, so over one pass in order its accuracy is that of rows that were never seen.
 *
 * Gama, Sebastião and Rodrigues, "On evaluating stream learning algorithms", Machine Learning 90, 2013
 */
import { UserError } from "../errors.ts";
import type { Json } from "../json.ts";
import type { Values } from "../method/options.ts";
import type { Controller } from "../run/training/controller.ts";
import type { StepResult } from "../run/training/trainer.ts";
import type { TRAIN } from "./options.ts";

/** Accuracy and loss over all rows so far, each as it was answered before it was learnt. */
export class Prequential implements Controller {
  readonly name = "prequential";
  #rows = 0;
  #right = 0;
  #loss = 0;
  #counts = false;

  heard({ metrics, counted }: Pick<StepResult, "metrics" | "counted">): void {
    this.#rows += counted;
    this.#right += counted * (metrics.accuracy ?? 0);
    this.#counts ||= metrics.accuracy !== undefined;
    this.#loss += counted * metrics.loss!;
  }

  /** What a run tells at its end; the accuracy of classifiers alone. */
  told(): Readonly<Record<string, number>> {
    const told: Record<string, number> = { prequential_loss: this.#loss / this.#rows };
    return this.#counts ? { ...told, prequential_accuracy: this.#right / this.#rows } : told;
  }

  said(): string {
    const mean = (sum: number) => sum / Math.max(1, this.#rows);
    return `before learning ${this.#counts ? `${(100 * mean(this.#right)).toFixed(1)}% right, ` : ""}loss ${mean(this.#loss).toFixed(4)}`;
  }

  state() {
    return { rows: this.#rows, right: this.#right, loss: this.#loss, counts: this.#counts };
  }

  /** Throws UserError for what is no state of it. */
  load(state: Json): void {
    const { rows, right, loss, counts } = (state ?? {}) as Readonly<Record<string, unknown>>;
    if (
      typeof rows !== "number" ||
      typeof right !== "number" ||
      typeof loss !== "number" ||
      typeof counts !== "boolean"
    )
      throw new UserError(
        "the saved sums of --prequential cannot be read",
        "remove the state, and train from the start",
      );
    this.#rows = rows;
    this.#right = right;
    this.#loss = loss;
    this.#counts = counts;
  }
}

/** Throws UserError for options that would show a row more than once, or in another order. */
export function checkPrequential(options: Values<typeof TRAIN>): void {
  const clash = (["steps", "epochs", "mixture"] as const).find((name) => options[name] !== undefined);
  if (clash)
    throw new UserError(
      `--prequential answers every row once, in order, before it is learnt, and --${clash} says otherwise`,
      "leave it out",
    );
  if (options.loss === "infonce")
    throw new UserError("--prequential counts right answers, and --loss infonce gives none", "leave one of them out");
  if (options.adversarial)
    throw new UserError(
      "--adversarial moves rows before they are answered, and --prequential tells of them as they come",
      "leave one of them out",
    );
}
