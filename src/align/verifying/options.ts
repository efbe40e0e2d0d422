/** Options of what judges answers: of `align` with a policy, and of `align score`. */
import type { Options } from "../../method/options.ts";
import { USUAL_LIMITS } from "./command/limits.ts";

export const REWARDS = {
  reward: {
    type: "string[]",
    lists: "verifier",
    value: "TERM",
    help: 'verifier with a weight: exact, "0.1*format:REGEX", overlong:512,64, or a sum of them; several add up',
  },
  verify: {
    type: "string[]",
    value: "COMMAND",
    help: 'command that reads answers as JSON lines and writes a reward for each; --reward "0.5*command:..." weighs one',
  },
  verify_time: {
    type: "0 < number <= 86400",
    default: USUAL_LIMITS.seconds,
    value: "SECONDS",
    help: "most seconds that a command may take for a batch of answers",
  },
  verify_batch: {
    type: "1 <= number.integer <= 1000000",
    default: USUAL_LIMITS.batch,
    value: "N",
    help: "answers that a command is given at once",
  },
  verify_keep: {
    type: "boolean",
    default: USUAL_LIMITS.keep,
    help: "start a command once for all batches; it has to write each line at once",
  },
} as const satisfies Options;

/** Of `align score`. */
export const SCORE = {
  ...REWARDS,
  field: { type: "string", default: "answer", value: "KEY", help: "key that has what the model says" },
  max_tokens: {
    type: "number.integer >= 1",
    value: "N",
    help: "most tokens of an answer, for rewards that fall with length; they name it where this is left out",
  },
} as const satisfies Options;
