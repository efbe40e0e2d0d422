/** What llama.cpp scales Gemma's scores by: the size of a head, or the width per head in the largest model. */
import { UserError } from "../../../errors.ts";
import type { GgufSizes } from "../architecture.ts";
import { type Config, positiveOf } from "./config.ts";

/** `query_pre_attn_scalar` of a model; `large` is the number of layers of the largest. */
export const queryScalar = ({ layers, width, heads, headSize }: GgufSizes, large: number): number =>
  layers === large ? width / heads : headSize;

/** Throws UserError for another scalar than that. */
export function expectQueryScale(config: Config, sizes: GgufSizes, large: number): void {
  const [found, wanted] = [positiveOf(config, "query_pre_attn_scalar", 256), queryScalar(sizes, large)];
  if (found === wanted) return;
  throw new UserError(
    `config.json: query_pre_attn_scalar is ${found}, and llama.cpp takes it to be ${wanted} in a model of these sizes`,
    "write x.safetensors or a folder instead",
  );
}
