/**
 * Divergences between a student's and a teacher's distributions, with a loss per row and a gradient to the student's
 * logits alone.
 *
 * Forward and reverse KL with temperature (arXiv:1503.02531, 2306.08543), generalised JSD (arXiv:2306.13649), skew KL
 * (arXiv:2402.03898), total variation, TAID (arXiv:2501.16937), and the target of UNDIAL (arXiv:2402.10052).
 */
import type { Dynamic, Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { rowWork } from "./reduce.ts";

export type DivergenceKind = "forward-kl" | "reverse-kl" | "jsd" | "tvd" | "skew-kl" | "skew-rkl" | "taid" | "undial";

export interface DivergenceOptions {
  readonly kind: DivergenceKind;
  /** Divides both logits; the loss is multiplied by its square. */
  readonly temperature?: number;
  /** beta of jsd, alpha of the skewed ones, t of taid, strength of undial. It may change from run to run. */
  readonly a?: number | Dynamic;
  /** taid: give the cross-entropy, KL and the target's own entropy together; the gradient is the same. */
  readonly whole?: boolean;
}

/** student, teacher (N, V), targets (N) i32 -> (N); rows with a negative target give 0 and take no gradient. */
export function divergence(
  rec: Recorder,
  student: Tensor,
  teacher: Tensor,
  targets: Tensor,
  { kind, temperature = 1, a = 0, whole = false }: DivergenceOptions,
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
  const flags = [kind.replaceAll("-", "_"), ...(whole ? ["whole"] : []), ...work.flags];
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
