/**
 * Self-evolving training: right answers are ranked anew, the best are trained on, and neither the weights nor the state
 * of the optimizer ever begin again. Liu et al. 2024, https://arxiv.org/abs/2412.17451
 *
 * The paper ranks by a process reward model, whose least sure step counts: it is a term of the reward with weight 0
 * here. Where there is none, answers are ranked by how likely a token is in the mean, under the model as it was or as
 * it is. --temperature auto looks every so many rollouts at held-out prompts for the temperature at which one of the
 * two answers that rank highest is right most often.
 */
import { UserError } from "../../../errors.ts";
import type { Options, Values } from "../../../method/options.ts";
import { type Choosable, definePolicy } from "../../policies/contract.ts";
import { POLICY } from "../../policies/options.ts";
import {
  type ChoiceValues,
  choiceOf,
  meanLogProbs,
  SELF_TRAINED,
  SELF_TRAINING,
} from "../../policies/self-training.ts";

const RERANK = {
  rerank: {
    type: "'logprob' | 'own-logprob' | 'prm' | 'reward' | 'none'",
    default: "logprob",
    help: "rank right answers by their mean log-probability under the model as it was, as it is, by rewards of weight 0 (0*model:PRM), by reward, or not",
  },
  temperature_grid: {
    type: "number[]",
    default: Array.from({ length: 14 }, (_, i) => (3 + i) / 10),
    help: "temperatures that --temperature auto chooses from",
    value: "T,...",
  },
  temperature_every: {
    type: "number.integer >= 1",
    default: 2,
    needs: "held_prompts",
    help: "rollouts between two looks at --held-prompts",
    value: "N",
  },
} as const satisfies Options;

type Reranked = ChoiceValues & Values<typeof RERANK>;

function rank(given: Choosable<Reranked>): Float64Array {
  const { rewards, reference, sampled, terms, weights, values } = given;
  switch (values.rerank) {
    case "none":
      return new Float64Array(rewards.length);
    case "reward":
      return rewards;
    case "prm":
      return Float64Array.from(terms, (row) => {
        return row.reduce<number>((sum, value, k) => sum + (weights[k] === 0 ? (value ?? 0) : 0), 0);
      });
    default:
      return meanLogProbs(values.rerank === "logprob" ? reference! : sampled);
  }
}

const base = definePolicy({
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
    ...choiceOf<Reranked>(rank),
    rank,
    readsOriginal: ({ rerank }) => rerank === "logprob",
  },
  check({ temperature_grid: grid }) {
    if (grid.length === 0 || grid.some((t) => !(t > 0)))
      throw new UserError(`--temperature-grid ${grid.join(",")} are no temperatures`, "give some above 0");
  },
  checkTerms({ rerank }, terms) {
    if (rerank === "prm" && terms.every(({ weight }) => weight !== 0))
      throw new UserError(
        "--rerank prm ranks by rewards of weight 0, and there is none",
        "add a process reward model: --reward '0*model:PRM'",
      );
  },
  warming: ({ temperature_grid: grid, temperature_every: every }) => ({ grid, every }),
});

export const method = {
  ...base,
  options: {
    ...base.options,
    temperature: {
      ...POLICY.temperature,
      type: "number > 0 | 'auto'",
      help: "of sampling; auto: the one of --temperature-grid that serves --held-prompts best",
    },
  },
};
