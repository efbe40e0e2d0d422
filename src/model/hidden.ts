/**
 * Which weights are matrices of hidden layers (neither embeddings nor heads, routers or vectors), and which of these
 * give queries or keys, by heads.
 */
import type { Parameter } from "../tensor/parameter.ts";
import type { Architecture, ModelSizes, ParameterSpec } from "./architecture.ts";

/** Heads of language models under the names of Hugging Face. */
export const HEADS = ["lm_head", "embed_out"];

const [QUERIES, KEYS] = [/(^|\.)(q_proj|query|q_lin)\.weight$/, /(^|\.)(k_proj|key|k_lin)\.weight$/];

/** Heads of queries or keys of a weight; undefined of others, and where rows are of no whole heads. */
function headsOf({ name, shape }: ParameterSpec, attention: ModelSizes["attention"]): number | undefined {
  const heads = QUERIES.test(name) ? attention?.heads : KEYS.test(name) ? attention?.kvHeads : undefined;
  return heads !== undefined && shape[0]! % heads === 0 ? heads : undefined;
}

/** Whether a weight is a matrix of a hidden layer; `headModules` as the architecture has them. */
export function isHiddenMatrix(
  { name, linear, routes, shape }: ParameterSpec,
  headModules: readonly string[],
): boolean {
  const isHead = [...HEADS, ...headModules].includes(name.replace(/\.weight$/, ""));
  return linear === true && !routes && shape.length === 2 && !isHead;
}

export function markHidden(
  { headModules = [] }: Pick<Architecture, "headModules">,
  attention: ModelSizes["attention"],
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Parameter>,
): void {
  for (const spec of specs) {
    const parameter = parameters.get(spec.name);
    if (!parameter) continue;
    parameter.isHidden = isHiddenMatrix(spec, headModules);
    parameter.heads = parameter.isHidden ? headsOf(spec, attention) : undefined;
  }
}
