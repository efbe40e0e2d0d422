/**
 * Distillation of numbers with a precise ("tough") and a smoothed ("tolerant") teacher. Output by output, with a the
 * student's distance to the truth and d_k that of teacher k, whose point is reflected to the student's side of the
 * truth: a teacher that is nearer attracts, and one that the student is ahead of pushes it on. Fard, Abdollahi and
 * Mahoor, "Facial Landmark Points Detection Using Knowledge Distillation-Based Neural Networks", CVIU 2022,
 * https://arxiv.org/abs/2111.07047
 *
 *   main      3 a where a <= d_tolerant, else a^2 + 3 d_tolerant - d_tolerant^2
 *   assist_k  pull_k (a - d_k) where a > d_k, -push_k (d_k - a) where 0.15 d_k < a <= d_k, else 0
 *   loss      main-weight main + tough-weight assist_tough + tolerant-weight assist_tolerant, means over the outputs
 *
 * Teachers are constants: the first is the tough one, trained on what rows say, the second the tolerant one, trained
 * on a smoothed form of it. A push has a step at 0.15 d, so the loss jumps there, and it falls below 0 on the way.
 */
import { sameClaim } from "../../method/laws.ts";
import type { Options } from "../../method/options.ts";
import {
  abs,
  add,
  addScalar,
  isPositive,
  mul,
  neg,
  scale,
  square,
  stopGradient,
  sub,
} from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { DISTILL_LAWS, defineDistillation } from "../contract.ts";

/** Share of a teacher's distance within which it no longer pushes. */
const AT_REST = 0.15;
/** Slope of the main loss near the truth. */
const SLOPE = 3;

/** Where an assistant attracts or pushes, and by how much: distances a of the student and d of the teacher -> same. */
export function assist(
  rec: Recorder,
  a: Tensor,
  d: Tensor,
  { pull, push }: { readonly pull: number; readonly push: number },
): Tensor {
  const ahead = sub(rec, a, d); // below 0 where the student is nearer
  const beyond = isPositive(rec, ahead);
  const awake = isPositive(rec, sub(rec, a, scale(rec, d, AT_REST)));
  const nearer = mul(rec, awake, addScalar(rec, neg(rec, beyond), 1));
  // -push (d - a) is push (a - d), so both have the difference as a factor.
  const slope = stopGradient(rec, add(rec, scale(rec, beyond, pull), scale(rec, nearer, push)));
  return mul(rec, slope, ahead);
}

/** The main loss from distances a of the student and d of the tolerant teacher. */
export function mainLoss(rec: Recorder, a: Tensor, d: Tensor): Tensor {
  const far = stopGradient(rec, isPositive(rec, sub(rec, a, d)));
  const near = addScalar(rec, neg(rec, far), 1);
  const beyond = add(rec, square(rec, a), sub(rec, scale(rec, d, SLOPE), square(rec, d)));
  return add(rec, mul(rec, near, scale(rec, a, SLOPE)), mul(rec, far, beyond));
}

const weight = (of: string, usual: number) =>
  ({ type: "number >= 0", default: usual, help: `weight of ${of}`, value: "W" }) as const;
const strength = (of: string, usual: number) =>
  ({ type: "number >= 0", default: usual, help: `how strongly ${of}`, value: "A" }) as const;

const OPTIONS = {
  main_weight: weight("the loss of the truth", 2),
  tough_weight: weight("the first teacher's assistance", 1),
  tolerant_weight: weight("the second teacher's assistance", 1),
  tough_pull: strength("the first teacher attracts", 1.9),
  tough_push: strength("the first teacher pushes on", 0.45),
  tolerant_pull: strength("the second teacher attracts", 1.8),
  tolerant_push: strength("the second teacher pushes on", 0.4),
} as const satisfies Options;

export const method = defineDistillation({
  name: "assistive-regression",
  title: "Tough and tolerant teachers",
  about: "of numbers: a precise teacher and a smoothed one attract the student, and push it on where it is ahead",
  cite: "arXiv:2111.07047",
  laws: sameClaim(DISTILL_LAWS, "it is of numbers, and of two teachers beside the truth"),
  teachers: [2, 2],
  options: OPTIONS,
  numbers(rec, { student, teachers: [tough, tolerant], wanted, values, note }) {
    const share = 1 / wanted.shape.at(-1)!;
    const distance = (x: Tensor) => abs(rec, sub(rec, x, wanted));
    const a = distance(student);
    const [hard, soft] = [distance(tough!), distance(tolerant!)];
    const main = rowSum(rec, mainLoss(rec, a, soft), share);
    const parts = [
      assist(rec, a, hard, { pull: values.tough_pull, push: values.tough_push }),
      assist(rec, a, soft, { pull: values.tolerant_pull, push: values.tolerant_push }),
    ].map((x) => rowSum(rec, x, share));
    note("main", main);
    note("tough", parts[0]!);
    note("tolerant", parts[1]!);
    const assisted = add(
      rec,
      scale(rec, parts[0]!, values.tough_weight),
      scale(rec, parts[1]!, values.tolerant_weight),
    );
    return add(rec, scale(rec, main, values.main_weight), assisted);
  },
});
