/** Which answers of a rollout are right, for methods that count them. */
import type { Options } from "../../method/options.ts";
import { weightedSums } from "./advantages.ts";
import type { Rewarded } from "./contract.ts";

export const SUCCESS = {
  success: {
    type: "-1000 <= number <= 1000",
    default: 1,
    help: "reward, before penalties, from which an answer is right",
    value: "REWARD",
  },
} as const satisfies Options;

/** Of every answer; weights of terms may add up to a little less than was meant. */
export const rightAnswers = (
  given: Pick<Rewarded, "terms" | "weights">,
  { success }: { readonly success: number },
): boolean[] => Array.from(weightedSums(given), (reward) => reward >= success - 1e-9);
