/**
 * A rate that what the network perceives pushes, and that its own answers push back (`train --homeostat`): every class
 * has an effect e of +1 (even ones) or -1, and over a step's rows of class y that are answered as y'
 *
 *   m <- m exp(k mean (e_y - e_y') / 2),   m <- m + rho (1 - m),   1 / range <= m <= range
 *
 * The next step's rate is that of the schedule times m. Right answers cancel, and m relaxes to 1; wrong ones across the
 * effects displace it. By errors every wrong answer pushes up; by chance the pushes of effects have a random sign, to
 * compare with. With k = 0 nothing changes, bit for bit. "Need is All You Need: Homeostatic Neural Networks Adapt to
 * Concept Shift", 2022: the constants and the equation are a reconstruction, and there a row's own push is in its step.
 */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Controller } from "../../run/training/controller.ts";
import type { StepResult } from "../../run/training/trainer.ts";
import { correctRows } from "../../tensor/ops/correct.ts";
import { addScalar, mul, neg, scale, sub } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { chosenExperts } from "../../tensor/ops/router.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export const HOMEOSTAT = {
  homeostat: {
    type: "number >= 0",
    help: "k, how strongly answers to a step's rows push the rate of the next one; 0: the schedule's own rate",
    value: "K",
  },
  homeostat_by: {
    type: "'effects' | 'errors' | 'chance'",
    default: "effects",
    needs: "homeostat",
    help: "what pushes: effects of classes against those of answers, every error upwards, or effects with random signs",
  },
  homeostat_relax: {
    type: "0 <= number <= 1",
    default: 0.01,
    needs: "homeostat",
    help: "rho, share of the way back to the schedule's rate in a step",
    value: "RHO",
  },
  homeostat_range: {
    type: "number >= 1",
    default: 10,
    needs: "homeostat",
    help: "how many times the schedule's rate the rate may be at most, and how small a part of it",
    value: "N",
  },
} as const satisfies Options;

type Given = Values<typeof HOMEOSTAT> & { readonly homeostat: number };

export class Homeostat implements Controller {
  readonly name = "homeostat";
  readonly #given: Given;
  readonly #seed: number;
  #level = 1;

  constructor(given: Given, seed: number) {
    this.#given = given;
    this.#seed = seed;
  }

  /** What the rate is multiplied by now. */
  get level(): number {
    return this.#level;
  }

  /** Pushes of rows of logits: (N, C), (N) i32 -> (N), without gradient. */
  pushes(rec: Recorder, logits: Tensor, targets: Tensor): Tensor {
    if (this.#given.homeostat_by === "errors") return addScalar(rec, neg(rec, correctRows(rec, logits, targets)), 1);
    const [n = 0, classes = 0] = logits.shape;
    const effects = Float32Array.from({ length: classes }, (_, c) => (c % 2 === 0 ? 1 : -1));
    const ones = rec.constant(new Float32Array(n).fill(1), [n, 1], "ones");
    const answered = mul(
      rec,
      chosenExperts(rec, logits, 1, ones),
      rec.constant(effects, [1, classes], "effects of answers"),
    );
    const wanted = embedding(rec, targets, rec.constant(effects, [classes, 1], "effects of classes"));
    return scale(rec, sub(rec, rec.reshape(wanted, [n]), rowSum(rec, answered)), 0.5);
  }

  heard({ step, metrics }: Pick<StepResult, "step" | "metrics">): void {
    const { homeostat: k, homeostat_by: by, homeostat_relax: relax, homeostat_range: range } = this.#given;
    const sign = by === "chance" && new Random(this.#seed, "homeostat", step).uniform() < 0.5 ? -1 : 1;
    const pushed = this.#level * Math.exp(k * sign * (metrics.push ?? 0));
    this.#level = Math.min(range, Math.max(1 / range, pushed + relax * (1 - pushed)));
  }

  said(): string {
    return `rate times ${this.#level.toFixed(2)}`;
  }

  state(): Json {
    return this.#level;
  }

  /** Throws UserError for what is no state of it. */
  load(state: Json): void {
    if (typeof state !== "number")
      throw new UserError(
        "the saved level of --homeostat cannot be read",
        "remove the state, and train from the start",
      );
    this.#level = state;
  }
}

/**
 * The one of a training; undefined where none is asked for. Throws UserError for what does not go with it. `isOwn`: the
 * objective is in the place of the labels' loss.
 */
export function homeostatOf(
  options: Values<typeof HOMEOSTAT> & { readonly schedule_search?: unknown },
  { task, isOwn, seed }: { readonly task: string; readonly isOwn: boolean; readonly seed: number },
): Homeostat | undefined {
  const { homeostat } = options;
  if (homeostat === undefined) return undefined;
  if (task !== "classifier" || isOwn)
    throw new UserError(
      `--homeostat hears the answers of a classifier that learns labels, and this ${isOwn ? "is trained by another objective" : `is a ${task}`}`,
      "leave it out",
    );
  if (options.schedule_search)
    throw new UserError("--homeostat and --schedule-search both say what the rate is", "leave one of them out");
  return new Homeostat({ ...options, homeostat }, seed);
}
