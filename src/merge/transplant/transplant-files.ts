/** The files of a model under the tokenizer of another: its own config, with the ids of special tokens there. */
import { jsonFile } from "../../data/special-tokens.ts";
import type { Json } from "../../json.ts";
import { outputFiles } from "../plan/output-config.ts";
import { changeStatedIds, takeTokenizer } from "../vocabulary/tokenizer-files.ts";
import type { TransplantPlan } from "./transplant.ts";

/** The value at keys with points between them. */
function valueAt(config: Json, path: string): Json | undefined {
  const [key, ...rest] = path.split(".");
  if (config === null || typeof config !== "object" || Array.isArray(config)) return undefined;
  const value = config[key!];
  return rest.length === 0 || value === undefined ? value : valueAt(value, rest.join("."));
}

/** What could not be said is added to `warnings`. */
export function transplantFiles(
  { model, donor, donorTokens, rows }: TransplantPlan,
  warnings: string[],
): Map<string, Uint8Array> {
  const files = outputFiles(model, { stacks: [], untied: false, vocabulary: rows }, warnings);
  takeTokenizer(files, donor.checkpoint.files);
  const theirs = new Map(
    ["config.json", "generation_config.json"].map((name) => [name, jsonFile(donor.checkpoint.files, name, donor.ref)]),
  );
  const known = new Set(donorTokens.tokens.map(({ id }) => id));
  changeStatedIds(files, model.ref, (id, { file, path }) => {
    const role = `role:${path
      .split(".")
      .at(-1)!
      .replace(/_(id|index)$/, "")}`;
    const stated = [valueAt(theirs.get(file)!, path), valueAt(theirs.get("config.json")!, path)].find(
      (value) => typeof value === "number" && known.has(value),
    );
    const there = (stated as number | undefined) ?? donorTokens.ids.get(role);
    if (there === undefined) warnings.push(`${file}: ${path} ${id} means no token of ${donor.ref}; look at it`);
    return there ?? id;
  });
  return files;
}
