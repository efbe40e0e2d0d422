/**
 * Relations of attention: how alike the queries of two tokens are, their keys and their values, is drawn to what the
 * teacher has. MiniLMv2, Wang et al., ACL Findings 2021, https://arxiv.org/abs/2012.15828
 *
 *   qkv        sum over A of Q, K and V of the mean over relation heads of KL(R_T || R_S),
 *              R = softmax(A A^T / sqrt(d)), d the width of a relation head
 *   attention  the attention maps and V alone: MiniLM, https://arxiv.org/abs/2002.10957
 *
 * All columns of A stand side by side before they are cut into relation heads, so student and teacher may have other
 * numbers of heads and other widths. A decoder's token is compared with those before it, where rotated queries and keys
 * know how far apart they are; the papers' encoders look both ways. A window narrows the attention maps alone.
 */
import { UserError } from "../../errors.ts";
import type { Attended } from "../../model/network.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { attendedBy, mapDistance } from "../attended.ts";
import { byRow } from "../by-row.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { layerPairs, meanOfPairs } from "../layer-pairs.ts";

type Part = "q" | "k" | "v";
const WORDS = { q: "queries", k: "keys", v: "values" } as const;

/** A matrix that meets itself, as queries and keys of so many heads. */
function relation({ options, ...parts }: Attended, part: Part, heads: number, whose: string) {
  const x = parts[part];
  const { width } = rowsOf(x);
  if (width % heads !== 0)
    throw new UserError(
      `the ${whose}'s ${WORDS[part]} are ${width} wide, which does not cut into ${heads} relation heads`,
      "give --relation-heads a number that divides the widths of both",
    );
  const { batch, causal, segments } = options;
  const kind = { batch, causal, ...(segments ? { segments } : {}) };
  return { q: x, k: x, options: { ...kind, heads, kvHeads: heads, headDim: width / heads } };
}

/** The losses of every token of one pair of layers: (B, T). */
function relationLoss(
  rec: Recorder,
  [student, teacher]: readonly [Attended, Attended],
  { relations, heads }: { readonly relations: "qkv" | "attention"; readonly heads: number },
): Tensor {
  const related = (part: Part) =>
    mapDistance(rec, relation(student, part, heads, "student"), relation(teacher, part, heads, "teacher"), "kl");
  const losses =
    relations === "qkv"
      ? (["q", "k", "v"] as const).map(related)
      : [mapDistance(rec, student, teacher, "kl"), related("v")];
  return losses.reduce((a, b) => add(rec, a, b));
}

export const method = defineDistillation({
  name: "minilm",
  title: "Relations of attention",
  about: "how alike queries, keys and values of two tokens are, drawn to the teacher's; widths and heads may differ",
  cite: "arXiv:2012.15828",
  laws: {
    ...EVERY_LAW,
    shiftInvariant: "relations are compared, not logits",
    rowsIndependent: "a token is compared with those before it",
    zeroWhereUncounted: "relations have no labels",
  },
  weights: { labels: 1 },
  options: {
    layers: {
      type: "string",
      default: "last:last",
      help: "pairs student:teacher of layers from 1, such as 2:4,last:last",
      value: "S:T,...",
    },
    relations: {
      type: "'qkv' | 'attention'",
      default: "qkv",
      help: "of queries, keys and values, or the attention maps and values",
    },
    relation_heads: {
      type: "number.integer >= 1",
      help: "heads of a relation; as many as the student's layer has of keys when left out",
      value: "H",
    },
  },
  check: ({ layers }) => void layerPairs(layers),
  states(rec, { student, teacher, sizes, values: { layers, relations, relation_heads } }) {
    const losses = layerPairs(layers).map(([s, t]) => {
      const own = attendedBy(student, s, "student", sizes.student);
      const theirs = attendedBy(teacher, t, "teacher", sizes.teacher);
      const heads = relation_heads ?? own.options.kvHeads;
      return rec.recomputed(() => byRow(rec, relationLoss(rec, [own, theirs], { relations, heads }), student));
    });
    return meanOfPairs(rec, losses);
  },
});
