/** A number of each prompt under the model as it was, for methods that compare with it. */
import type { Bound } from "../../method/bind.ts";
import type { Rollout, Rollouts } from "../../run/generating/rollouts.ts";
import type { RewardTerm } from "../verifying/rewards.ts";
import type { PolicyMethod, SharedValues } from "./contract.ts";
import type { PolicyPrompt } from "./prompts.ts";

interface Given {
  readonly chosen: Bound<PolicyMethod>;
  readonly prompts: readonly PolicyPrompt[];
  readonly terms: readonly RewardTerm[];
  readonly rollouts: Rollouts;
  /** Prompts of a rollout. */
  readonly size: number;
  readonly modes?: readonly number[] | undefined;
  readonly ends: readonly number[];
  readonly seed: number;
  readonly signal: AbortSignal;
}

type Parts = readonly (readonly (number | null)[])[];

/**
 * What the method measures of every prompt, by position; of those whose rows say it, what they say. Draws as many
 * prompts at once as a rollout has, whose memory is planned.
 */
export async function measuredOf(
  { chosen, prompts, terms, rollouts, size, modes, ends, seed, signal }: Given,
  judge: (prompts: readonly number[], answers: readonly Rollout[]) => Promise<Parts>,
): Promise<Record<string, number>> {
  const values: SharedValues = chosen.values;
  const { group, temperature, max_new_tokens: maxTokens, stop: stops = [], rollout_rows: rows } = values;
  const { mode, known, of } = chosen.method.measure!;
  const found: Record<string, number> = {};
  const asked: number[] = [];
  for (const [i, prompt] of prompts.entries()) {
    const said = known(prompt);
    if (said === undefined) asked.push(i);
    else found[i] = said;
  }
  const how = { group, temperature, maxTokens, ends, stops, seed, signal, openings: [modes![mode]!] };
  for (let from = 0; from < asked.length; from += size) {
    const drawn = Array.from({ length: size }, (_, i) => asked[(from + i) % asked.length]!);
    const given = drawn.map((i) => ({ ids: prompts[i]!.ids, key: `measured ${i}`, name: prompts[i]!.place }));
    const answers = await rollouts.sample(given, { ...how, ...(rows ? { rows } : {}) });
    const parts = await judge(drawn, answers);
    const weights = terms.map(({ weight }) => weight);
    for (const [i, prompt] of drawn.entries())
      found[prompt] = of({ terms: parts.slice(i * group, (i + 1) * group), weights, values: chosen.values });
  }
  return found;
}
