/** The attention of a layer, for losses that compare what student and teacher attend to. */
import { UserError } from "../errors.ts";
import type { ModelSizes } from "../model/architecture.ts";
import type { Recorded } from "../model/model.ts";
import type { Attended } from "../model/network.ts";
import { attentionMap, headMean } from "../tensor/ops/attention-map.ts";
import { stopGradient } from "../tensor/ops/elementwise.ts";
import { type RowDistance, rowDistance } from "../tensor/ops/row-distance.ts";
import type { Recorder } from "../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../tensor/tensor.ts";
import type { Layer } from "./layer-pairs.ts";

/** What a layer attends with; layer 1 is the first block. Throws UserError where it has no attention. */
export function attendedBy({ attended }: Recorded, layer: Layer, whose: string, { layers }: ModelSizes): Attended {
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
export function mapOf(rec: Recorder, { q, k, options }: Pick<Attended, "q" | "k" | "options">, whose: string): Tensor {
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
const reach = (map: Pick<Attended, "options">, tokens: number): number => {
  const { window = 0 } = map.options;
  return window > 0 ? Math.min(window, tokens) : tokens;
};

/** Mean over heads of the distance of every query's row: (B, T). */
export function mapDistance(
  rec: Recorder,
  student: Pick<Attended, "q" | "k" | "options">,
  teacher: Pick<Attended, "q" | "k" | "options">,
  distance: RowDistance,
): Tensor {
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
