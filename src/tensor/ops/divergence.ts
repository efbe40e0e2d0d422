/**
 * Divergences between a student's and a teacher's distributions, with a loss per row and a gradient to the student's
 * logits alone.
 *
 * Forward and reverse KL with temperature (arXiv:1503.02531, 2306.08543), generalised JSD (arXiv:2306.13649), skew KL
 * (arXiv:2402.03898), total variation, and two targets made of logits: between the student's own and the teacher's
 * (arXiv:2501.16937), and the teacher's with the label's lowered (arXiv:2402.10052).
 */
import type { Dynamic, Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { rowWork } from "./reduce.ts";

export type DivergenceKind =
  | "forward-kl"
  | "reverse-kl"
  | "jsd"
  | "tvd"
  | "skew-kl"
  | "skew-rkl"
  | "interpolated-target"
  | "lowered-label";

export interface DivergenceOptions {
  readonly kind: DivergenceKind;
  /** Divides both logits; the loss is multiplied by its square. */
  readonly temperature?: number;
  /**
   * Weight of the teacher in the mixture of jsd and in an interpolated target, of the own distribution in the mixture
   * of the skewed ones; what is taken off a label's logit. It may change from run to run.
   */
  readonly a?: number | Dynamic;
  /** The cross-entropy against an interpolated target in place of the KL; its gradient is the same. */
  readonly crossEntropy?: boolean;
}

/** student, teacher (N, V), targets (N) i32 -> (N); rows with a negative target give 0 and take no gradient. */
export function divergence(
  rec: Recorder,
  student: Tensor,
  teacher: Tensor,
  targets: Tensor,
  { kind, temperature = 1, a = 0, crossEntropy = false }: DivergenceOptions,
): Tensor {
  const { rows: n, width: v } = rowsOf(student);
  if (sizeOf(teacher.shape) !== n * v || rowsOf(teacher).width !== v || sizeOf(targets.shape) !== n)
    throw new RangeError(
      `${kind}: student ${showShape(student.shape)}, teacher ${showShape(teacher.shape)}, ${showShape(targets.shape)} targets`,
    );
  if (teacher.needsGrad) throw new Error(`${kind}: no gradient goes to the teacher; stop it first`);
  const loss = rec.result([n], [student], kind);
  const saved = rec.scratch([n, 4], `log sums of ${kind}`);
  const work = rowWork(rec, n, v);
  const flags = [kind.replaceAll("-", "_"), ...(crossEntropy ? ["cross_entropy"] : []), ...work.flags];
  const params = { n, v, inverse: 1 / temperature, a, scale: temperature ** 2 };
  const { groups } = work;
  rec.step({
    kernel: "divergence/divergence",
    flags,
    bind: { student, teacher, targets, loss, saved },
    params,
    groups,
  });
  rec.onBackward(loss, (d_loss) => {
    const { into, accumulate } = rec.gradient(student);
    rec.step({
      kernel: "divergence/divergence-gradient",
      flags,
      bind: { student, teacher, targets, saved, d_loss, dx: into },
      params: { ...params, accumulate },
      groups,
    });
  });
  return loss;
}
