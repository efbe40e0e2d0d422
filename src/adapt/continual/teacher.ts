/** Terms that hold what the model says to what it, or an earlier one, said. */

import { divergence } from "../../tensor/ops/divergence.ts";
import { add, scale, square, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Task, Term } from "./contract.ts";
import type { OldSays, OldWeights } from "./old-weights.ts";

/** The classes of some tasks, ascending. */
export const classesOf = (tasks: readonly Task[], of: readonly number[]): number[] =>
  [...new Set(of.flatMap((task) => tasks[task]!.classes))].sort((a, b) => a - b);

export interface OldAnswers {
  readonly name: string;
  readonly weight: number;
  readonly temperature: number;
  /** Outputs that are compared; all when left out. */
  readonly visible?: readonly number[] | undefined;
}

/** Hides all outputs but some, in rows of logits (n, V). */
function only(rec: Recorder, logits: Tensor, visible: readonly number[]): Tensor {
  const width = logits.shape.at(-1)!;
  const added = new Float32Array(width).fill(-1e9);
  for (const output of visible) added[output] = 0;
  return add(rec, logits, rec.constant(added, [1, width], "hidden outputs"));
}

/** KL(p_old || p) of distributions at a temperature, without the factor T^2. */
export function oldAnswers(old: OldWeights, { name, weight, temperature, visible }: OldAnswers): Term {
  return {
    name,
    weight,
    record(rec, { inputs }) {
      const says: OldSays = old.record(rec, inputs);
      const seen = (logits: Tensor) => (visible ? only(rec, logits, visible) : logits);
      return {
        along: [says.hidden],
        rows(rec, { raw, targets, along: [hidden] }) {
          const theirs = seen(says.head(rec, hidden!));
          const loss = divergence(rec, seen(raw), theirs, targets, { kind: "forward-kl", temperature });
          return scale(rec, loss, 1 / temperature ** 2);
        },
      };
    },
  };
}

/**
 * Mean over the outputs of (z - z')^2 of every row of logits (n, V) against z' (n, V) that were kept: the squared
 * distance of DER.
 */
export function logitDistance(rec: Recorder, logits: Tensor, kept: Tensor): Tensor {
  const [n, width] = [logits.shape[0]!, logits.shape.at(-1)!];
  const squares = square(rec, sub(rec, logits, kept));
  return rec.reshape(scale(rec, sumTo(rec, squares, [n, 1]), 1 / width), [n]);
}
