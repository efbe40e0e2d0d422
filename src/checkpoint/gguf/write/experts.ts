/** What a GGUF file of a Qwen with experts takes for granted. */
import { UserError } from "../../../errors.ts";
import { type Config, expectValue } from "./config.ts";

/** Throws UserError unless every layer has experts. */
export function expectSparse(config: Config): void {
  expectValue(config, "decoder_sparse_step", 1);
  if (!Array.isArray(config.mlp_only_layers) || config.mlp_only_layers.length === 0) return;
  throw new UserError(
    "config.json: mlp_only_layers names layers without experts, which a GGUF file of this architecture cannot say",
    "write x.safetensors or a folder instead",
  );
}
