/**
 * Self-evolving training: right answers are ranked anew, the best are trained on, and neither the weights nor the state
 * of the optimizer ever begin again. Liu et al. 2024, https://arxiv.org/abs/2412.17451
 *
 * The paper ranks by a process reward model. Here it is how likely a token of the answer is in the mean, under the
 * model as it was or as it is, or the reward.
 */
import type { Options, Values } from "../../../method/options.ts";
import { definePolicy } from "../../policies/contract.ts";
import {
  type ChoiceValues,
  choiceOf,
  meanLogProbs,
  SELF_TRAINED,
  SELF_TRAINING,
} from "../../policies/self-training.ts";

const RERANK = {
  rerank: {
    type: "'logprob' | 'own-logprob' | 'reward' | 'none'",
    default: "logprob",
    help: "rank right answers by their mean log-probability under the model as it was, as it is, by reward, or not",
  },
} as const satisfies Options;

type Reranked = ChoiceValues & Values<typeof RERANK>;

export const method = definePolicy({
  name: "self-evolve",
  title: "Self-evolving training",
  about: "cross-entropy of the right answers that are ranked highest, round after round",
  cite: "arXiv:2412.17451",
  ...SELF_TRAINED,
  options: {
    top: { ...SELF_TRAINING.top, default: 2 },
    least: { ...SELF_TRAINING.least, default: 0.5 },
    ...RERANK,
  },
  defaults: { aggregate: "global-token", group: 16 },
  choice: {
    ...choiceOf<Reranked>(({ rewards, reference, sampled, values }) => {
      const { rerank } = values;
      if (rerank === "none") return new Float64Array(rewards.length);
      return rerank === "reward" ? rewards : meanLogProbs(rerank === "logprob" ? reference! : sampled);
    }),
    readsOriginal: ({ rerank }) => rerank === "logprob",
  },
});
