/** Finds the architecture that a config.json asks for by its `model_type`. Only that file is loaded. */
import { UserError } from "../errors.ts";
import { nearest } from "../method/nearest.ts";
import { loadMethod, methodNames } from "../method/registry.ts";
import type { Architecture, Json } from "./architecture.ts";

/** Model types that can be run. */
export const modelTypes = (): string[] => methodNames("architecture").map((name) => name.replaceAll("-", "_"));

/** The architecture that a config.json asks for. `where` names the file. Throws UserError when there is none. */
export async function architectureOf(json: Json, where: string): Promise<Architecture> {
  const type = json.model_type;
  if (typeof type === "string" && modelTypes().includes(type.replaceAll("-", "_")))
    return loadMethod("architecture", type);
  const near = typeof type === "string" ? nearest(type, modelTypes()) : undefined;
  throw new UserError(
    `${where}: model_type ${JSON.stringify(type) ?? "is missing, so the architecture"} is not known`,
    near ? `did you mean ${near}?` : `it is one of ${modelTypes().join(", ")}`,
  );
}
