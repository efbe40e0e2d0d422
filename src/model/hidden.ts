/** Which weights are matrices of hidden layers: neither embeddings nor heads, routers or vectors. */
import type { Parameter } from "../tensor/parameter.ts";
import type { Architecture, ParameterSpec } from "./architecture.ts";

/** Heads of language models under the names of Hugging Face. */
const HEADS = ["lm_head", "embed_out"];

export function markHidden(
  { headModules = [] }: Pick<Architecture, "headModules">,
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Parameter>,
): void {
  const heads = new Set([...HEADS, ...headModules]);
  for (const { name, linear, routes, shape } of specs) {
    const parameter = parameters.get(name);
    if (parameter)
      parameter.isHidden =
        linear === true && !routes && shape.length === 2 && !heads.has(name.replace(/\.weight$/, ""));
  }
}
