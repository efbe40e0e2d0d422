/** Rotary positions of models whose layers with a window turn otherwise than the others, of which a file says more. */
import { UserError } from "../../../errors.ts";
import { isObject, show } from "../../../json.ts";
import type { Config } from "./config.ts";

/**
 * A config with the rotary positions of the layers that see all in the place of those of all kinds. Throws UserError
 * where layers with a window have a scaling, or another base than `local` (that of the others when left out).
 */
export function fullRotary(config: Config, local?: number): Config {
  const kinds = [config.rope_parameters, config.rope_scaling].find(
    (one) => isObject(one) && isObject(one.full_attention),
  );
  if (!isObject(kinds)) return config;
  const full = kinds.full_attention;
  const sliding = isObject(kinds.sliding_attention) ? kinds.sliding_attention : {};
  const base = local ?? (isObject(full) ? full.rope_theta : undefined);
  const other =
    (sliding.rope_type ?? "default") !== "default" || (sliding.rope_theta ?? base) !== base
      ? show(JSON.stringify(sliding))
      : undefined;
  if (other !== undefined) {
    throw new UserError(
      `config.json: rotary positions of layers with a window are ${other}; a GGUF file takes base ${String(base)} without a scaling`,
      "write x.safetensors or a folder instead",
    );
  }
  return { ...config, rope_parameters: full!, rope_scaling: null };
}
