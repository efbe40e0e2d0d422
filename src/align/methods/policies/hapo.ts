/**
 * Heterogeneous adaptive policy optimization: the entropy of a token under the policy that sampled decides how warm it
 * is sampled, how it is normalised, how much its advantage counts and how far its ratio may go. From Uniform to
 * Heterogeneous: Tailoring Policy Optimization to Every Token's Nature, 2025, https://github.com/starriver030515/HAPO
 *
 * Of every token h is its entropy, in logarithms, about a quantile of the rollout, over the root mean square, with each
 * side scaled to end at -1 or 1. Where all entropies are alike it is 0. Answers are the units of the standard deviation
 * over tokens: of answers of one length it is GRPO's.
 */
import { UserError } from "../../../errors.ts";
import { isObject, type Json } from "../../../json.ts";
import { add, addScalar, clamp, isPositive, mul, scale, stopGradient, sub } from "../../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { differs, groupRelative, penalized } from "../../policies/advantages.ts";
import { definePolicy, EVERY_POLICY_LAW, type Rewarded } from "../../policies/contract.ts";
import { clippedSurrogate } from "../../policies/surrogate.ts";

/** Advantages from this size on are those of a group that hardly differs. */
const MOST = 5;
const LEAST_ENTROPY = 1e-8;

/** The value below which a share of the values lies, between two of them in proportion. */
function quantileOf(x: Float64Array, share: number): number {
  const sorted = x.toSorted();
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  return low + (at - Math.floor(at)) * (sorted[Math.ceil(at)]! - low);
}

/** What h is measured by, of the logarithms of entropies: the quantile, and how far the ends are from it. */
interface EntropyScale {
  readonly middle: number;
  readonly least: number;
  readonly most: number;
}

const logOf = (entropy: number): number => Math.log(Math.max(entropy, LEAST_ENTROPY));

function scaleOf(entropies: readonly Float64Array[], quantile: number): EntropyScale {
  const all = Float64Array.from(
    entropies.flatMap((own) => [...own]),
    logOf,
  );
  const middle = quantileOf(all, quantile);
  let [least, most, squares] = [0, 0, 0];
  for (const e of all) {
    const d = e - middle;
    [least, most, squares] = [Math.min(least, d), Math.max(most, d), squares + d * d];
  }
  // Rounding is no difference.
  return Math.sqrt(squares / all.length) > 1e-9 ? { middle, least, most } : { middle, least: 0, most: 0 };
}

/** h of an entropy. */
/** The scale of the rollout before, as it was kept. Throws UserError for a state that does not hold one. */
function savedScale(kept: Json): EntropyScale {
  const { middle, least, most } = isObject(kept) ? kept : {};
  if (typeof middle !== "number" || typeof least !== "number" || typeof most !== "number")
    throw new UserError(
      "the saved entropies of the rollout before cannot be read",
      "remove the state, and align from the start",
    );
  return { middle, least, most };
}

function placeOf({ middle, least, most }: EntropyScale, entropy: number): number {
  const d = logOf(entropy) - middle;
  if (d > 0 && most > 0) return Math.min(1, d / most);
  return d < 0 && least < 0 ? Math.max(-1, -d / least) : 0;
}

/** h of every token, row by row: from -1 of the lowest entropy to 1 of the highest. */
export function heterogeneity(entropies: readonly Float64Array[], quantile: number): Float64Array[] {
  const scale = scaleOf(entropies, quantile);
  return entropies.map((own) => own.map((entropy) => placeOf(scale, entropy)));
}

/** Rewards about the mean over the tokens of their group; GRPO's where one is far out. */
function tokenAdvantages(given: Rewarded): Float64Array {
  const { group, lengths, values } = given;
  const rewards = penalized(given);
  const advantages = groupRelative(given);
  for (let from = 0; from < rewards.length; from += group) {
    const own = rewards.subarray(from, from + group);
    if (!differs(own)) continue;
    const counts = lengths.slice(from, from + group);
    const tokens = counts.reduce((a, b) => a + b, 0);
    const over = (of: (reward: number) => number) => own.reduce((sum, r, i) => sum + counts[i]! * of(r), 0) / tokens;
    const mean = over((reward) => reward);
    const deviation = Math.sqrt((over((reward) => (reward - mean) ** 2) * group) / (group - 1));
    const found = own.map((reward) => (reward - mean) / (deviation + values.advantage_eps));
    if (found.every((advantage) => Math.abs(advantage) < MOST)) advantages.set(found, from);
  }
  return advantages;
}

export const method = definePolicy({
  name: "hapo",
  title: "Heterogeneous adaptive policy optimization",
  about: "DAPO whose normalisation, advantages and clip range follow the entropy of every token",
  cite: "https://github.com/starriver030515/HAPO",
  laws: {
    ...EVERY_POLICY_LAW,
    policyGradient: "tokens of low entropy count less than others",
    zeroSum: "advantages add up to 0 over the tokens of a group, not over its answers",
  },
  entropies: true,
  options: {
    token_group_adv: {
      type: "boolean",
      default: true,
      help: "mean and deviation of rewards over the tokens of a group, not its answers",
    },
    ada_adv: { type: "boolean", default: true, help: "advantages by entropy: uncertain tokens count more" },
    ada_clip: {
      type: "boolean",
      default: true,
      help: "clip ranges by entropy: up for uncertain tokens, down for others",
    },
    ada_temp: {
      type: "boolean",
      default: true,
      help: "temperature by entropy, on the scale of the rollout before: uncertain tokens are sampled warmer",
    },
    temp_spread: {
      type: "0 <= number < 1",
      default: 0.05,
      needs: "ada_temp",
      help: "what the temperature of the most and the least certain token changes by",
      value: "K",
    },
    entropy_quantile: {
      type: "0 < number < 1",
      default: 0.8,
      help: "share of tokens whose entropy is low",
      value: "SHARE",
    },
    adv_spread: {
      type: "0 <= number <= 1",
      default: 1,
      needs: "ada_adv",
      help: "what the advantage of the most and the least certain token changes by",
      value: "B",
    },
    clip_spread: {
      type: "number >= 0",
      default: 1,
      needs: "ada_clip",
      help: "what one end of their clip range changes by",
      value: "A",
    },
  },
  defaults: { clip_delta: 10, aggregate: "global-token", dynamic_sampling: true },
  check({ token_group_adv: byToken, combine, scale_rewards: by }) {
    if (byToken && (combine !== "sum" || by !== "group"))
      throw new UserError(
        `--token-group-adv divides the sum of rewards by a deviation over the tokens of a group, and ${
          combine === "sum" ? `--scale-rewards ${by}` : `--combine ${combine}`
        } is another way`,
        "give --no-token-group-adv with it, or leave it out",
      );
  },
  advantages: (given) => [...(given.values.token_group_adv ? tokenAdvantages(given) : groupRelative(given))],
  traits: ({ entropies, values }) => heterogeneity(entropies!, values.entropy_quantile),
  keeps: ({ entropies, values }) => ({ ...scaleOf(entropies!, values.entropy_quantile) }),
  heat({ ada_temp: on, temp_spread: spread, temperature }, kept) {
    if (!on || spread === 0 || kept === undefined) return undefined;
    const scale = savedScale(kept);
    return (entropy) => temperature * (1 + spread * placeOf(scale, entropy));
  },
  range(rec, { traits, values }) {
    const { clip_low: low, clip_high: high, clip_spread: spread } = values;
    const wider = values.ada_clip ? spread : 0;
    const [below, beyond] = [clamp(rec, traits!, -1, 0), clamp(rec, traits!, 0, 1)];
    return {
      low: addScalar(rec, scale(rec, below, low * wider), 1 - low),
      high: addScalar(rec, scale(rec, beyond, high * wider), 1 + high),
    };
  },
  tokens(rec, given) {
    const { ratio, advantages, range, traits, values } = given;
    if (!values.ada_adv) return clippedSurrogate(rec, given);
    // Within half of the range on both sides.
    const now = stopGradient(rec, ratio);
    const half = (end: Tensor) => addScalar(rec, scale(rec, end, 0.5), 0.5);
    const inside = mul(
      rec,
      isPositive(rec, sub(rec, now, half(range!.low))),
      isPositive(rec, sub(rec, half(range!.high), now)),
    );
    const isHigh = isPositive(rec, traits!);
    // Tokens of high entropy outside, and those of low entropy inside.
    const counts = sub(rec, add(rec, isHigh, inside), scale(rec, mul(rec, isHigh, inside), 2));
    const factor = addScalar(rec, scale(rec, mul(rec, traits!, counts), values.adv_spread), 1);
    return clippedSurrogate(rec, { ...given, advantages: mul(rec, advantages, factor) });
  },
});
