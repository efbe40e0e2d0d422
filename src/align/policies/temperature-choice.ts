/** What --temperature auto and --held-prompts ask for. */
import { UserError } from "../../errors.ts";
import { type Bound, bind } from "../../method/bind.ts";
import type { PolicyMethod, SharedValues } from "./contract.ts";
import type { HeldPrompts } from "./held-prompts.ts";
import { TemperatureSearch } from "./temperature-search.ts";

/** The method with a temperature to begin at, where it is to be chosen. */
export function withTemperature(asked: Bound<PolicyMethod>): {
  readonly chosen: Bound<PolicyMethod>;
  readonly warms: boolean;
} {
  const values: Readonly<Record<string, unknown>> = asked.values;
  const warms = values.temperature === "auto";
  return { chosen: warms ? bind(asked.method, { ...values, temperature: 1 }) : asked, warms };
}

/** Throws UserError for held-out prompts that nothing looks at, and where a temperature is chosen without any. */
export function checkHeldPrompts({ method, values: own }: Bound<PolicyMethod>, warms: boolean): void {
  const { held_prompts: held, reward_weights: kind }: SharedValues = own;
  if (warms && !held)
    throw new UserError(
      "--temperature auto is chosen on held-out prompts, and there are none",
      "give --held-prompts rows.jsonl",
    );
  if (held && kind !== "hypervolume" && !method.choice?.rank)
    throw new UserError(
      `--held-prompts has no effect on ${method.name}, which measures nothing on them`,
      "leave it out, or take --reward-weights hypervolume or --method self-evolve",
    );
}

/** What looks at held-out prompts between rollouts, of a method that ranks answers. */
export function temperatureSearch(
  chosen: Bound<PolicyMethod>,
  held: HeldPrompts | undefined,
  { weights, warms }: { readonly weights: readonly number[]; readonly warms: boolean },
): TemperatureSearch | undefined {
  const { method, values: own } = chosen;
  const { temperature }: SharedValues = own;
  if (!held || !method.choice?.rank || !method.warming) return undefined;
  const { grid, every } = method.warming(own);
  return new TemperatureSearch({ chosen, held, weights, every, grid: warms ? grid : [temperature] });
}
