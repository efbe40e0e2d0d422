/** Finds the file of an architecture by the `model_type` of config.json. Only that file is loaded. */

import { UserError } from "../errors.ts";
import { nearest } from "../method/nearest.ts";
import type { Architecture, Json } from "./architecture.ts";

const FILES: Readonly<Record<string, () => Promise<{ architecture: unknown }>>> = {
  llama: () => import("./architectures/llama.ts"),
  mistral: () => import("./architectures/llama.ts"),
  qwen2: () => import("./architectures/qwen2.ts"),
  qwen3: () => import("./architectures/qwen3.ts"),
  gpt2: () => import("./architectures/gpt2.ts"),
  mixtral: () => import("./architectures/mixtral.ts"),
  qwen2_moe: () => import("./architectures/qwen-moe.ts"),
  qwen3_moe: () => import("./architectures/qwen-moe.ts"),
  olmoe: () => import("./architectures/olmoe.ts"),
  vit: () => import("./architectures/vit.ts"),
  mlp: () => import("./architectures/mlp.ts"),
};

/** Model types that can be run. */
export const modelTypes = (): string[] => Object.keys(FILES);

/** The architecture that a config.json asks for. `where` names the file. Throws UserError when there is none. */
export async function architectureOf(json: Json, where: string): Promise<Architecture> {
  const type = json.model_type;
  const load = typeof type === "string" && Object.hasOwn(FILES, type) ? FILES[type] : undefined;
  if (load) return (await load()).architecture as Architecture;
  const near = typeof type === "string" ? nearest(type, modelTypes()) : undefined;
  throw new UserError(
    `${where}: model_type ${JSON.stringify(type) ?? "is missing, so the architecture"} is not known`,
    near ? `did you mean ${near}?` : `it is one of ${modelTypes().join(", ")}`,
  );
}
