/** Options of what changes from rollout to rollout: the temperature, and the limit of answers. */
import type { Options } from "../../method/options.ts";

export const ENTROPY_TARGET = {
  target_entropy: {
    type: "number > 0",
    help: "adapt --temperature after every rollout so that sampled tokens have this entropy; fixed when left out",
    value: "NATS",
  },
  temperature_rate: {
    type: "number >= 0",
    default: 0.2,
    needs: "target_entropy",
    help: "how fast: the temperature grows by exp(rate times what the entropy lacks)",
    value: "K",
  },
  temperature_range: {
    type: "number[]",
    default: [0.6, 1.2],
    needs: "target_entropy",
    help: "the lowest and the highest temperature",
    value: "LOW,HIGH",
  },
} as const satisfies Options;

export const LENGTH_STAGES = {
  length_stages: {
    type: "number[]",
    help: "most tokens of an answer in each stage of the run, ending with --max-new-tokens; one stage when left out",
    value: "N,...",
  },
  stage_rollouts: {
    type: "number.integer >= 1",
    default: 50,
    needs: "length_stages",
    help: "rollouts of every stage but the last, which goes on",
    value: "N",
  },
  stage_solved: {
    type: "-1000 <= number <= 1000",
    default: 1,
    needs: "length_stages",
    help: "reward from which an answer is right: prompts whose answers all are leave with the stage",
    value: "REWARD",
  },
} as const satisfies Options;
