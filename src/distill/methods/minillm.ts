/**
 * MiniLLM: the student learns from texts that it writes itself, by the policy gradient of their reverse KL. Gu et al.,
 * ICLR 2024, https://arxiv.org/abs/2306.08543
 *
 *   -min(u A, clip(u, 1 ± c) A) + s KL(q || p),  u = q(y) / what y was drawn from
 *
 * for each token y of an answer, with A of text-returns.ts; of rows of --text (1 - k) CE + k KL(p || q). Departs from
 * the authors' code in one point: by default A is of the tokens after y, as in their formula, since the divergence at
 * y itself is the second term; --returns own counts it twice, as the code does.
 */
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, clamp, exp, minimum, mul, neg, scale, sub } from "../../tensor/ops/elementwise.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { ownWriting } from "../own-writing.ts";

/** Largest log-ratio that is made a ratio. */
const MOST = 20;

export const method = defineDistillation({
  name: "minillm",
  title: "MiniLLM",
  about: "policy gradient on the reverse KL of texts that the student writes, with its teacher's help",
  cite: "arXiv:2306.08543",
  laws: {
    ...EVERY_LAW,
    neverNegative: "what a token brings may be less than nothing",
    gradientIsSlope: "what later tokens are worth is held fixed",
    rowsIndependent: "a token is worth what comes after it",
  },
  needs: [ownWriting],
  defaults: { sample_temperature: 1 },
  options: {
    ratio_clip: {
      type: "number >= 0",
      default: 0.2,
      help: "how far a ratio may be from 1 and still take a gradient; 0: any",
      value: "C",
    },
    single_step: { type: "number >= 0", default: 1, help: "weight of the divergence at each token", value: "W" },
    text_kd: {
      type: "0 <= number <= 1",
      default: 0.5,
      help: "of rows of --text, weight of the teacher against the labels",
      value: "K",
    },
  },
  rows(rec, { student, teachers, targets, given, note, values: { ratio_clip: clip, single_step, text_kd } }) {
    const own = divergence(rec, student, teachers[0]!, targets, { kind: "reverse-kl" });
    note("reverse_kl", own);
    // Rows that were not written have the divergence alone.
    if (!given) return scale(rec, own, single_step);
    const nll = crossEntropy(rec, student, targets);
    const ratio = exp(rec, clamp(rec, sub(rec, neg(rec, nll), given("against")), -MOST, MOST));
    const free = mul(rec, ratio, given("advantage"));
    const bounded = clip > 0 ? mul(rec, clamp(rec, ratio, 1 - clip, 1 + clip), given("advantage")) : free;
    const written = add(
      rec,
      neg(rec, clip > 0 ? minimum(rec, free, bounded) : free),
      scale(rec, mul(rec, own, given("single")), single_step),
    );
    const taught = divergence(rec, student, teachers[0]!, targets, { kind: "forward-kl" });
    const read = add(rec, scale(rec, nll, 1 - text_kd), scale(rec, taught, text_kd));
    return add(rec, written, mul(rec, read, given("text")));
  },
});
