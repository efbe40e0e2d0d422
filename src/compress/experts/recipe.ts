/** Which experts stay, as lines of a file: { "layer": 0, "experts": [1, 3], "scores": [...] }. */
import { readJsonFile } from "../../data/files/jsonl.ts";
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";
import type { KeptExperts, Mixture } from "./mixture.ts";
import type { Scores } from "./scores.ts";

const isIndex = (value: unknown, below: number): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value < below;

/** Throws UserError for lines that name no experts of this model, or not as many in every layer. */
export async function readRecipe(file: string, { modules, experts, checkpoint }: Mixture): Promise<KeptExperts> {
  const kept = new Map<number, readonly number[]>();
  const hint = "lines as --write-recipe makes them: one for each layer with experts";
  for await (const { value, place } of readJsonFile(file, { hint, flag: "--recipe" })) {
    if (!isObject(value)) throw new UserError(`${place} is no object`, hint);
    const { layer, experts: list } = value;
    if (typeof layer !== "number" || !modules.has(layer) || kept.has(layer))
      throw new UserError(`${place}: layer ${JSON.stringify(layer)} is no layer with experts, or there twice`, hint);
    const own = Array.isArray(list) ? list.filter((e) => isIndex(e, experts)) : [];
    if (!Array.isArray(list) || own.length !== list.length || new Set(own).size !== own.length || own.length === 0)
      throw new UserError(
        `${place}: experts ${JSON.stringify(list)} are not some of the ${experts} of ${checkpoint.ref}`,
        hint,
      );
    kept.set(
      layer,
      own.toSorted((a, b) => a - b),
    );
  }
  const missing = [...modules.keys()].find((layer) => !kept.has(layer));
  if (missing !== undefined) throw new UserError(`${file} says nothing of layer ${missing}`, hint);
  if (new Set([...kept.values()].map((own) => own.length)).size > 1)
    throw new UserError(`${file} keeps more experts in some layers than in others`, "config.json counts them once");
  return kept;
}

/** The lines. */
export const recipeText = (kept: KeptExperts, scores: Scores | undefined): string =>
  [...kept]
    .map(([layer, experts]) => {
      const own = scores?.get(layer);
      return `${JSON.stringify({ layer, experts, ...(own ? { scores: [...own] } : {}) })}\n`;
    })
    .join("");
