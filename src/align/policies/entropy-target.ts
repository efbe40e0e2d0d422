/**
 * A temperature of sampling that holds the entropy of sampled tokens near a target: too low and nothing new is tried,
 * too high and early answers are worth little. AceReason-Nemotron 1.1: Advancing Math and Code Reasoning through SFT
 * and RL Synergy, 2025, https://arxiv.org/abs/2506.13284
 *
 * The paper chooses one temperature by its entropy; that it follows the entropy from rollout to rollout is ingot's.
 */
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import { type Dynamic, dynamic } from "../../tensor/recorder.ts";
import { meanOf } from "./advantages.ts";
import type { PolicyMethod, SharedValues } from "./contract.ts";

/** Number of a run: 1 / temperature. */
export const COOLING = "inverse_temperature";

/** The temperature of likelihoods in the loss, or the number of a run that holds its inverse. */
export function temperatureOf({ method, values: own }: Bound<PolicyMethod>): number | Dynamic {
  const values: SharedValues = own;
  if (method.untempered) return 1;
  return values.target_entropy === undefined ? values.temperature : dynamic(COOLING);
}

/** The temperature after a rollout whose tokens had an entropy, nats, at `temperature`; the same without a target. */
export function nextTemperature(temperature: number, entropy: number | undefined, values: SharedValues): number {
  const { target_entropy: target, temperature_rate: rate, temperature_range: range } = values;
  if (target === undefined || entropy === undefined) return temperature;
  const [low, high] = range as [number, number];
  return Math.min(high, Math.max(low, temperature * Math.exp(rate * (target - entropy))));
}

/** Throws UserError for what does not go with a temperature that changes. */
export function checkEntropyTarget({ method, values: own }: Bound<PolicyMethod>): void {
  const values: SharedValues = own;
  const { target_entropy: target, temperature_range: range, temperature, kl } = values;
  if (target === undefined) return;
  const [low = 0, high = 0, ...more] = range;
  if (!(low > 0 && high >= low) || more.length > 0)
    throw new UserError(`--temperature-range ${range.join(",")} is no range`, "give two above 0, the lower one first");
  if (temperature < low || temperature > high)
    throw new UserError(
      `--temperature ${temperature} is outside --temperature-range ${low},${high}`,
      "the first rollout is sampled at it: give one inside",
    );
  if (method.untempered)
    throw new UserError(
      `${method.name} takes likelihoods at temperature 1, and --target-entropy asks for those of sampling`,
      "leave --target-entropy out",
    );
  if (values.reward_weights === "gradient")
    throw new UserError(
      "--reward-weights gradient takes likelihoods at one temperature, and --target-entropy changes it",
      "leave one of them out",
    );
  if (values.buffer !== "none" && kl > 0)
    throw new UserError(
      "--kl compares answers with the model as it was at the temperature that sampled them, which --buffer mixes with --target-entropy",
      "leave one of the three out",
    );
}

/** The temperature of a rollout and the entropy of its tokens, nats, for the log; nothing without a target. */
export function warmthOf(
  { temperature, target_entropy: target }: SharedValues,
  entropies: readonly Float64Array[] | undefined,
): Record<string, number> {
  if (target === undefined) return {};
  const all = entropies?.flatMap((own) => [...own]) ?? [];
  return { temperature, ...(all.length > 0 ? { sampled_entropy: meanOf(all) } : {}) };
}
