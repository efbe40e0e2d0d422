/**
 * Steering without erosion: what attention gives at the answer's places of a row is drawn to what the model as it was
 * gives there for the row's twin, in which something neutral stands for what is to be forgotten. Rows about neighbours
 * are kept by KL(p_theta0 || p). "Continual Unlearning for Foundational Text-to-Image Models without Generalization
 * Erosion", 2025; of a decoder, whose attention reads the prompt as theirs reads the text.
 *
 *   forget  mean over layers and places of |A(x) - A_theta0(twin)|^2,  A what a block's attention adds
 *
 * --original says which model was as it was, --penalty-weight and --penalty-from bound the way from it; `unlearn
 * requests` takes one request after the other.
 */
import { UserError } from "../../../errors.ts";
import type { Recorded } from "../../../model/model.ts";
import { add, scale, square, sub } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";
import { NEUTRAL } from "../../twins.ts";

/** What the attention of a block adds: (N, C). Throws UserError for a model that does not say. */
function attentionOf(rec: Recorder, { notes }: Pick<Recorded, "notes">, layer: number): Tensor {
  const [before, after] = [notes.get(`hidden.${layer}`), notes.get(`middle.${layer}`)];
  if (before && after) return sub(rec, after, before);
  throw new UserError(
    "duge reads what attention adds to the states, and this model's blocks have no place between attention and MLP",
    "take a decoder of Llama's or GPT-2's kind, or another method",
  );
}

const layersOf = (given: readonly number[], count: number): readonly number[] =>
  given.length > 0 ? given : Array.from({ length: count }, (_, i) => i);

const WHY = "it needs rows with twins: test/unlearn/duge.test.ts shows it";

export const method = defineObjective({
  name: "duge",
  title: "Steering without erosion",
  about: "draws attention on the forget set to what it was for neutral twins of the rows, and keeps neighbours",
  cite: "Continual Unlearning for Foundational Text-to-Image Models without Generalization Erosion, 2025",
  laws: { ...EVERY_LAW, gradientIsSlope: WHY, forgets: WHY, bounded: WHY, batchesAdd: WHY },
  weights: { forget: 1, retain: 1 },
  retain: "kl",
  original: true,
  twins: ({ neutral }) => neutral,
  options: {
    steer_layers: { type: "number.integer[]", default: [], help: "blocks that are steered, from 0; all when left out" },
    ...NEUTRAL,
  },
  check({ steer_layers: given }, { layers }) {
    const odd = given.find((layer) => layer < 0 || layer >= layers);
    if (odd !== undefined) throw new UserError(`--steer-layers ${odd}: the model has blocks 0 to ${layers - 1}`);
  },
  /** Keys and values of the blocks that are steered. */
  trains({ steer_layers: given }) {
    const blocks = given.length > 0 ? given.map(String) : ["*"];
    return blocks.flatMap((block) => [
      ...["k_proj", "v_proj", "qkv_proj", "query_key_value"].map((name) => `*.layers.${block}.*.${name}.*`),
      `*.h.${block}.attn.c_attn.*`,
    ]);
  },
  states(rec, { current, twin, layers, values: { steer_layers: given } }) {
    const chosen = layersOf(given, layers);
    const apart = chosen.map((layer) => {
      const own = attentionOf(rec, current, layer);
      const wanted = twin!.at(attentionOf(rec, twin!.states, layer));
      return rowSum(rec, square(rec, sub(rec, own, wanted)));
    });
    return scale(
      rec,
      apart.reduce((sum, one) => add(rec, sum, one)),
      1 / chosen.length,
    );
  },
});
