/**
 * Attention transfer: the student's attention maps are drawn to the teacher's. MobileBERT, Sun et al., ACL 2020,
 * https://arxiv.org/abs/2004.02984 By default the last layer alone, as in MiniLM,
 * https://arxiv.org/abs/2002.10957
 *
 *   kl   mean over pairs and heads of KL(A_T || A_S)      mse  mean over pairs and heads of |A_S - A_T|^2
 *
 * A row of A is what a query takes of each key it may see. Where student and teacher have other numbers of heads, the
 * means over heads are compared, which the papers do not do. Layer 1 is the first block. Of one pair at a time the maps
 * exist, forward and back: up to 4 B T^2 (3 H_S + H_T) bytes.
 */
import { UserError } from "../../errors.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import type { Recorded } from "../../model/model.ts";
import type { Attended } from "../../model/network.ts";
import { attentionMap, headMean } from "../../tensor/ops/attention-map.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { type RowDistance, rowDistance } from "../../tensor/ops/row-distance.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { byRow } from "../by-row.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { layerPairs, meanOfPairs } from "../layer-pairs.ts";

function attendedBy({ attended }: Recorded, layer: number | "last", whose: string, { layers }: ModelSizes): Attended {
  if (attended.size === 0)
    throw new UserError(
      `the ${whose} has no attention over the tokens of a row alone`,
      "take --method hidden, or kd for what it answers",
    );
  const found = attended.get((layer === "last" ? layers : layer) - 1);
  if (!found)
    throw new UserError(
      `--layers: the ${whose} has no attention in layer ${layer}`,
      attended.size === layers ? `it has 1 to ${layers}, and last` : `it has ${[...attended.keys()].map((i) => i + 1)}`,
    );
  return found;
}

/** The map (B, H, T, T) of a layer. Throws UserError when it is more than the device binds. */
function mapOf(rec: Recorder, { q, k, options }: Attended, whose: string): Tensor {
  const { batch, heads } = options;
  const t = rowsOf(q).rows / batch;
  const { maxBinding: most = Number.POSITIVE_INFINITY } = rec.profile;
  if (4 * batch * heads * t * t > most)
    throw new UserError(
      `the ${whose}'s attention map of ${batch} x ${heads} x ${t} x ${t} values is more than this device binds, ${most} bytes`,
      "give a smaller --batch-size or --max-length",
    );
  return attentionMap(rec, q, k, options);
}

/** How many tokens the last query of a row sees, if all are of one document. */
const reach = ({ options: { window = 0 } }: Attended, tokens: number): number =>
  window > 0 ? Math.min(window, tokens) : tokens;

/** Mean over heads of the distance of every query's row: (B, T). */
export function mapDistance(rec: Recorder, student: Attended, teacher: Attended, distance: RowDistance): Tensor {
  const [own, theirs] = [mapOf(rec, student, "student"), stopGradient(rec, mapOf(rec, teacher, "teacher"))];
  const [tokens, others] = [own, theirs].map((map) => map.shape[3]!);
  if (tokens !== others)
    throw new UserError(
      `the student attends to ${tokens} tokens of an example, the teacher to ${others}`,
      "attention maps compare where both cut their input alike",
    );
  const [near, far] = [reach(student, tokens!), reach(teacher, tokens!)];
  if (distance === "kl" && near < far)
    throw new UserError(
      `the student sees ${near} tokens, the teacher ${far}: KL has no bound there`,
      "give --distance mse, or shorter rows: --max-length",
    );
  if (own.shape[1] === theirs.shape[1]) return headMean(rec, rowDistance(rec, own, theirs, distance));
  return rowDistance(rec, headMean(rec, own), headMean(rec, theirs), distance);
}

export const method = defineDistillation({
  name: "attention",
  title: "Attention transfer",
  about: "student's attention maps drawn to the teacher's, head by head or as means over heads",
  cite: "arXiv:2004.02984",
  laws: {
    ...EVERY_LAW,
    shiftInvariant: "attention maps are compared, not logits",
    rowsIndependent: "a token attends to the tokens before it",
    zeroWhereUncounted: "attention maps have no labels",
  },
  weights: { labels: 1 },
  options: {
    layers: {
      type: "string",
      default: "last:last",
      help: "pairs student:teacher of layers from 1, such as 2:4,last:last",
      value: "S:T,...",
    },
    distance: { type: "'kl' | 'mse'", default: "kl", help: "what is drawn to 0" },
  },
  check: ({ layers }) => void layerPairs(layers),
  states(rec, { student, teacher, sizes, values: { layers, distance } }) {
    const losses = layerPairs(layers).map(([s, t]) => {
      const own = attendedBy(student, s, "student", sizes.student);
      const theirs = attendedBy(teacher, t, "teacher", sizes.teacher);
      return rec.recomputed(() => byRow(rec, mapDistance(rec, own, theirs, distance), student));
    });
    return meanOfPairs(rec, losses);
  },
});
