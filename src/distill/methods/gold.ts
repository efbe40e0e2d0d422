/**
 * Distillation across tokenizers by spans: where both tokenizations have a boundary in common, the tokens between two
 * of these are one group of either, whose probabilities are merged and compared. As in GOLD of TRL, "Unlocking
 * On-Policy Distillation for Any Model Family", 2025,
 * https://huggingface.co/spaces/HuggingFaceH4/on-policy-distillation
 *
 *   group      observed: the first token's distribution times the probabilities of the later tokens that came;
 *              bayesian: the last one's times those of the earlier
 *   by rank    sum over ranks of |sort(p)_r - sort(q)_r|: universal logit distillation, arXiv:2402.12030
 *   by text    generalised JSD over the tokens that have the same text in both vocabularies, as `jsd` has it
 *   loss       matched JSD + (1 - matched) ULD of all other tokens, matched the share of the student's vocabulary
 *
 * GOLD itself leaves the labels out; a tokenizer that joins what follows says of the first token alone something else
 * than one that does not, so here they learn along. Without `--hybrid` all tokens are compared by rank. A group counts
 * where the labels of all of its tokens do, with the weight of one token.
 */
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, scale, sub } from "../../tensor/ops/elementwise.ts";
import { pick } from "../../tensor/ops/pick.ts";
import { sortedGap } from "../../tensor/ops/sorted-gap.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { otherSpansOf } from "../other-spans.ts";

/** A share that is nothing, as a logarithm. */
const NOTHING = -80;

/** Log of the sum of exp of every row, (n, V) -> (n): a cross-entropy and the logit that it takes off. */
function logSum(rec: Recorder, logits: Tensor): Tensor {
  const { rows } = rowsOf(logits);
  const first = rec.constant(new Int32Array(rows), [rows], "first outputs");
  const taken = pick(rec, logits, { columns: Int32Array.of(0) });
  return add(rec, crossEntropy(rec, logits, first), rec.reshape(taken, [rows]));
}

/** Some outputs of rows, and the logarithm of a factor with which they have the probabilities that all outputs give. */
function some(rec: Recorder, logits: Tensor, columns: Int32Array, factor: Tensor): { logits: Tensor; factor: Tensor } {
  const { rows } = rowsOf(logits);
  if (columns.length === 0) {
    const none = rec.constant(new Float32Array(rows).fill(NOTHING), [rows], "no share");
    return { logits: rec.constant(new Float32Array(rows), [rows, 1], "no outputs"), factor: none };
  }
  const part = pick(rec, logits, { columns });
  return { logits: part, factor: add(rec, factor, sub(rec, logSum(rec, part), logSum(rec, logits))) };
}

export const method = defineDistillation({
  name: "gold",
  title: "Spans of two tokenizers",
  about:
    "for a teacher with another tokenizer: merged spans, by JSD where tokens have the same text and by rank elsewhere",
  cite: "https://huggingface.co/spaces/HuggingFaceH4/on-policy-distillation",
  laws: EVERY_LAW,
  needs: [otherSpansOf],
  weights: { labels: 1 },
  options: {
    beta: { type: "0 <= number <= 1", default: 0.5, help: "weight of the teacher in the mixture of JSD", value: "B" },
    matched_weight: {
      type: "number >= 0",
      help: "weight of the tokens with the same text; their share of the student's vocabulary when left out",
      value: "W",
    },
    unmatched_weight: {
      type: "number >= 0",
      help: "weight of the others; the rest of that share when left out",
      value: "W",
    },
  },
  rows(rec, { student, teachers: [teacher], targets, spans, values, note }) {
    const matched = spans?.matched;
    if (!matched || matched.own.length === 0) return sortedGap(rec, student, teacher!, targets, spans?.factors);
    const { beta, matched_weight, unmatched_weight } = values;
    const share = matched.own.length / rowsOf(student).width;
    const kind = beta === 0 ? "forward-kl" : beta === 1 ? "reverse-kl" : "jsd";
    const [own, theirs] = [
      pick(rec, student, { columns: matched.own }),
      pick(rec, teacher!, { columns: matched.other }),
    ];
    const same = divergence(rec, own, theirs, targets, { kind, a: beta });
    note("matched", same);
    const weighted = scale(rec, same, matched_weight ?? share);
    // What the teacher has beyond the student's tokens takes no gradient.
    if (matched.ownRest.length === 0) return weighted;
    const rest = some(rec, student, matched.ownRest, spans.factors.own);
    const beyond = some(rec, teacher!, matched.otherRest, spans.factors.other);
    const factors = { own: rest.factor, other: beyond.factor };
    const ranked = sortedGap(rec, rest.logits, beyond.logits, targets, factors);
    note("unmatched", ranked);
    return add(rec, weighted, scale(rec, ranked, unmatched_weight ?? 1 - share));
  },
});
