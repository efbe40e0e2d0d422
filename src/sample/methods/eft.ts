/**
 * Emulated fine-tuning: the change that fine-tuning made in a small model, as a reward that is added to another base:
 *
 *   log p(v) = log p_base(v) + scale sum_k weight_k [log p_k(v) - log p_ref(v)] - log Z
 *
 * Of a large base and small models it is up-scaling (proxy tuning), of a small base and large ones down-scaling;
 * several fine-tuned models are interpolated by their weights. With a bound on the nucleus the reward counts only for
 * tokens that the base itself finds likely.
 *
 * Mitchell et al. 2023, https://arxiv.org/abs/2310.12962
 */
import { UserError } from "../../errors.ts";
import { defineDecoder } from "../../run/combining/contract.ts";
import { logProbabilities, logRatios, nucleus } from "../../run/combining/log-probabilities.ts";

/** The weights of rewards, alike when none are given. Throws UserError for another number of them. */
function weightsFor(given: readonly number[] | undefined, rewards: number): readonly number[] {
  if (!given) return Array<number>(rewards).fill(1 / rewards);
  if (given.length === rewards) return given;
  throw new UserError(
    `--eft-weights ${given.join(",")} are ${given.length}, and --with names ${rewards} fine-tuned ${rewards === 1 ? "model" : "models"} before the reference`,
    "give one for each, with commas between",
  );
}

export const method = defineDecoder({
  name: "eft",
  title: "Emulated fine-tuning",
  about: "adds what fine-tuning changed in other models, of another size as a rule: up-scaling, down-scaling",
  cite: "arXiv:2310.12962",
  options: {
    eft_scale: { type: "number", default: 1, help: "factor of the change; 0: the base as it is", value: "B" },
    eft_weights: {
      type: "number[]",
      help: "of several fine-tuned models the weight of each one's change; alike and 1 together when left out",
      value: "W,W",
    },
    eft_nucleus: {
      type: "0 < number <= 1",
      default: 1,
      help: "the change counts for the base's likeliest tokens that together reach this probability; 1: for all",
      value: "P",
    },
  },
  laws: { shiftFree: true, alike: true, whole: true },
  models: [3, Number.POSITIVE_INFINITY],
  roles: "the base, then --with each fine-tuned model, last --with the model that they were tuned from",

  make({ values: { eft_scale: scale, eft_weights: given, eft_nucleus: top }, models }) {
    const weights = weightsFor(given, models.length - 2);
    const odd = weights.find((weight) => weight < 0 || weight > 1);
    return {
      views: models.map((_, model) => ({ model })),
      begin: () => (said) => {
        const [base, ...others] = said.map((logits) => logProbabilities(logits));
        const reference = others.at(-1)!;
        const changes = others.slice(0, -1).map((tuned) => logRatios(tuned, reference));
        const inside = top < 1 ? nucleus(base!, top) : undefined;
        return base!.map((x, id) =>
          inside && !inside.has(id)
            ? x
            : changes.reduce((sum, change, k) => sum + scale * weights[k]! * change[id]!, x),
        );
      },
      ...(odd === undefined
        ? {}
        : { remark: `--eft-weights: ${odd} lies beyond the models that are mixed, from 0 to 1` }),
    };
  },
});
