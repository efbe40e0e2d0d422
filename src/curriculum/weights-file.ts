/** Weights of groups as `curriculum balance` writes them. */
import { readFileSync } from "node:fs";
import { UserError } from "../errors.ts";
import { isObject, type Json } from "../json.ts";
import type { GroupSize } from "./contract.ts";

const HINT = "make one: bun run curriculum balance";

/** The weights of the groups, in their order. Throws UserError where a file is damaged or does not know them all. */
export function readWeights(file: string, groups: readonly GroupSize[]): readonly number[] {
  let json: Json;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new UserError(`--weights-file ${file} cannot be read: ${(error as Error).message}`, HINT);
  }
  const { groups: names, weights } = isObject(json) ? json : {};
  if (!Array.isArray(names) || !Array.isArray(weights) || names.length !== weights.length)
    throw new UserError(`--weights-file ${file} holds no groups with weights`, HINT);
  return groups.map(({ name }) => {
    const weight = weights[names.indexOf(name)];
    if (typeof weight === "number" && Number.isFinite(weight)) return weight;
    throw new UserError(`--weights-file ${file} has no weight of the group ${name}`, `it knows ${names.join(", ")}`);
  });
}
