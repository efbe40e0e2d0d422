/**
 * Weights or shares of groups from a file: as `curriculum balance` or `regmix` writes them, or the log of a run whose
 * sampler tells the average of its mixtures (doge, doremi).
 */
import { readFileSync } from "node:fs";
import { UserError } from "../errors.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";
import type { GroupSize } from "./contract.ts";

const HINT = "make one: bun run curriculum balance, or regmix, or the --log of bun run curriculum --method doge";

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The last mixture of a log whose average is told, with it as the numbers. */
function averageIn(lines: readonly string[]): JsonObject | undefined {
  const found = lines.map(parsed).findLast((line) => isObject(line) && line.event === "mixture" && "average" in line);
  return isObject(found) ? { groups: found.groups ?? null, weights: found.average ?? null } : undefined;
}

/**
 * The numbers of the groups, in their order: weights, or where there are none the mixture. `flag` names the option.
 * Throws UserError where a file is damaged or does not know them all.
 */
export function readWeights(file: string, groups: readonly GroupSize[], flag = "--weights-file"): readonly number[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`${flag} ${file} cannot be read: ${(error as Error).message}`, HINT);
  }
  const whole = parsed(text);
  const json = isObject(whole) && !("event" in whole) ? whole : averageIn(text.trim().split("\n"));
  const { groups: names, weights, mixture } = json ?? {};
  const numbers = weights ?? mixture;
  if (!Array.isArray(names) || !Array.isArray(numbers) || names.length !== numbers.length)
    throw new UserError(`${flag} ${file} holds no groups with weights`, HINT);
  return groups.map(({ name }) => {
    const weight = numbers[names.indexOf(name)];
    if (typeof weight === "number" && Number.isFinite(weight)) return weight;
    throw new UserError(`${flag} ${file} has no weight of the group ${name}`, `it knows ${names.join(", ")}`);
  });
}
