/** What config.json says of a model: all that is known before a weight is read. */
import { UserError } from "../errors.ts";
import type { Architecture, Json, ModelSizes } from "./architecture.ts";
import { architectureOf } from "./registry.ts";

export interface ModelDescription {
  /** config.json as it was read. */
  readonly json: Json;
  readonly architecture: Architecture;
  /** What the architecture read of it. */
  readonly config: unknown;
  readonly sizes: ModelSizes;
}

/** Files of a checkpoint, and how the user named it. */
interface Named {
  readonly ref: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Reads config.json of a checkpoint. Throws UserError when it is missing or not an object. */
export function configOf({ ref, files }: Named): Json {
  const bytes = files.get("config.json");
  if (!bytes)
    throw new UserError(`${ref} has no config.json`, "a model needs one beside its weights or in the file's metadata");
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new UserError(`${ref}: config.json is not JSON: ${(error as Error).message}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UserError(`${ref}: config.json is not an object`);
  }
  return json as Json;
}

/**
 * Reads a config. `ref` names the model in messages. Throws UserError for an unknown architecture or a value that
 * does not fit.
 */
export async function describeConfig(json: Json, ref: string): Promise<ModelDescription> {
  const where = `${ref}: config.json`;
  const architecture = await architectureOf(json, where);
  const config = architecture.config(json, where);
  return { json, architecture, config, sizes: architecture.sizes(config) };
}
