/** Signs that a checkpoint may be quantised; the decoders are loaded only then. */
import type { Checkpoint } from "../checkpoint.ts";
import { isFloat } from "../dtype.ts";

/** Keys of config.json that speak of it. MLX writes `quantization`, the first compressed-tensors the last. */
export const QUANTIZATION_KEYS: readonly string[] = ["quantization_config", "quantization", "compression_config"];

/** Whether a config may say something of a quantisation; looks at its text only. */
export function mentionsQuantization(config: Uint8Array): boolean {
  const text = Buffer.from(config.buffer, config.byteOffset, config.byteLength);
  return QUANTIZATION_KEYS.some((key) => text.includes(`"${key}"`));
}

/** Whether a look at the tensors is needed: a type that is not a plain float, or a config that speaks of it. */
export function mayBeQuantized({ tensors, files }: Checkpoint): boolean {
  for (const { dtype } of tensors.values()) if (!isFloat(dtype) || dtype.startsWith("F8")) return true;
  const config = files.get("config.json");
  return config !== undefined && mentionsQuantization(config);
}
