/**
 * DoLa: what the last layer says that an early one does not. Of some early layers, read by the model's own head, each
 * token takes the one whose distribution is furthest from the last layer's, by Jensen-Shannon divergence, and the next
 * is drawn from
 *
 *   log p_last - log p_early
 *
 * among the tokens to which the last layer gives at least a share of its largest probability. Chuang et al. 2023,
 * https://arxiv.org/abs/2309.03883, section 2; buckets of layers as Hugging Face's transformers names them.
 */
import { UserError } from "../../errors.ts";
import { defineDecoder, type ViewedModel } from "../../run/combining/contract.ts";
import { jensenShannon, logProbabilities, logRatios, plausible } from "../../run/combining/log-probabilities.ts";

/** Every second layer of the lower or the upper half, or within 20 layers of an end where there are more than 40. */
function bucket(name: "low" | "high", layers: number): number[] {
  const half = layers > 40 ? 20 : Math.floor(layers / 2);
  const [from, to] = name === "low" ? [0, half] : [layers > 40 ? layers - 20 : half, layers];
  return Array.from({ length: Math.ceil((to - from) / 2) }, (_, i) => from + 2 * i);
}

/** Throws UserError where they are none of the model's. */
function earlyLayers(text: string, { ref, sizes: { layers } }: ViewedModel): number[] {
  const list = text === "low" || text === "high" ? bucket(text, layers) : text.split(",").map(Number);
  const isGood = list.every((layer, i) => Number.isInteger(layer) && layer > (list[i - 1] ?? -1) && layer < layers);
  if (list.length > 0 && isGood) return list;
  throw new UserError(
    `--dola-layers ${text} names no early layers of ${ref}, which has ${layers}`,
    `give low, high, or rising layers from 0, the embedding, to ${layers - 1}: 0,${layers - 1}`,
  );
}

export const method = defineDecoder({
  name: "dola",
  title: "DoLa",
  about: "what the last layer says and an early one does not, the one that differs most at each token",
  cite: "arXiv:2309.03883",
  options: {
    dola_layers: {
      type: "string",
      default: "high",
      help: "early layers to choose from: low, for long answers that reason, high, for short ones, or their numbers, 0 the embedding",
      value: "LAYERS",
    },
    dola_plausible: {
      type: "0 < number <= 1",
      default: 0.1,
      help: "share of the last layer's largest probability that a token must have of it",
      value: "A",
    },
  },
  laws: {
    shiftFree: true,
    alike: "what an early layer says as well does not count",
    whole: "tokens that are not plausible are left out",
  },
  models: [1, 1],
  roles: "one model",
  make({ values: { dola_layers: text, dola_plausible: share }, models }) {
    const layers = earlyLayers(text, models[0]!);
    return {
      views: [{ model: 0 }, ...layers.map((layer) => ({ model: 0, layer }))],
      begin: () => (said, place) => {
        const [last, ...early] = said.map((logits) => logProbabilities(logits));
        const gaps = early.map((other) => jensenShannon(last!, other));
        const furthest = gaps.indexOf(Math.max(...gaps));
        place.note("layer", layers[furthest]!);
        const more = logRatios(last!, early[furthest]!);
        return plausible(last!, share).map((x, id) => (x === Number.NEGATIVE_INFINITY ? x : more[id]!));
      },
    };
  },
});
