/** Numbers of config.json that a GGUF file's metadata needs, read with care: the file may be anything. */
import { UserError } from "../../../errors.ts";
import { isObject, type JsonObject, parseJson, show } from "../../../json.ts";

export type Config = JsonObject;

const WHERE = "config.json";

/** config.json among a model's files. Throws UserError when it is absent or not an object. */
export function configOfFiles(files: ReadonlyMap<string, Uint8Array>): Config {
  const bytes = files.get(WHERE);
  if (bytes === undefined) {
    throw new UserError(
      "a GGUF file needs the model's config.json, and the result has none",
      "take a model that has one, or write x.safetensors",
    );
  }
  const { value } = parseJson(new TextDecoder().decode(bytes), WHERE);
  if (!isObject(value)) throw new UserError(`${WHERE} is not an object`, "take a model with a whole config.json");
  return value;
}

/** A whole number above 0. Throws UserError when it is absent or something else. */
export function wholeOf(config: Config, key: string): number {
  const value = config[key];
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  const found = value === undefined ? "absent" : show(JSON.stringify(value));
  throw new UserError(`${WHERE}: ${key} is ${found}, expected a whole number above 0`, "a GGUF file states it");
}

/** A finite number above 0; `otherwise` where it is absent or null. Throws UserError when it is something else. */
export function positiveOf(config: Config, key: string, otherwise: number): number {
  const value = config[key] ?? otherwise;
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw new UserError(
    `${WHERE}: ${key} is ${show(JSON.stringify(value))}, expected a number above 0`,
    "mend the config",
  );
}

/** Throws UserError unless a key has the one value that a GGUF file's reader takes for granted, or is absent. */
export function expectValue(config: Config, key: string, ...allowed: readonly unknown[]): void {
  const value = config[key] ?? undefined;
  if (value === undefined || allowed.includes(value)) return;
  throw new UserError(
    `${WHERE}: ${key} is ${show(JSON.stringify(value))}, which a GGUF file of this architecture cannot say`,
    "write x.safetensors or a folder instead",
  );
}
