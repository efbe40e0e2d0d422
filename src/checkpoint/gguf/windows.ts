/** Which layers see a window: llama.cpp knows it of an architecture, a config says it layer by layer. */
import { UserError } from "../../errors.ts";
import type { Config } from "./write/config.ts";

/** Whether layers see all earlier tokens, as a config says it; undefined where it does not. */
function fullLayers(config: Config, layers: number): readonly boolean[] | undefined {
  const types = config.layer_types;
  const pattern = config.sliding_window_pattern ?? config._sliding_window_pattern;
  const each = (full: (layer: number) => boolean) => Array.from({ length: layers }, (_, layer) => full(layer));
  if (Array.isArray(types)) return each((layer) => types[layer] === "full_attention");
  if (typeof pattern === "number") return each((layer) => pattern === 0 || (layer + 1) % pattern === 0);
  if (typeof pattern === "string") return each((layer) => pattern[layer % pattern.length] !== "L");
  return undefined;
}

/** Whether every `every`-th layer sees all. */
export const isFull = (layer: number, every: number): boolean => (layer + 1) % every === 0;

/** Throws UserError unless every layer but each `every`-th sees the window, as llama.cpp takes for granted. */
export function expectFullEvery(config: Config, layers: number, every: number): void {
  const other = fullLayers(config, layers)?.findIndex((full, layer) => full !== isFull(layer, every)) ?? -1;
  if (other < 0) return;
  throw new UserError(
    `config.json: layer ${other} ${isFull(other, every) ? "sees a window" : "sees all tokens"}; in a GGUF file of ` +
      `this architecture every ${every}. layer sees all tokens and the others a window`,
    "write x.safetensors or a folder instead",
  );
}

/** Throws UserError where a layer sees a window. */
export function expectAllFull(config: Config, layers: number): void {
  const other = fullLayers(config, layers)?.indexOf(false) ?? -1;
  if (other < 0) return;
  throw new UserError(
    `config.json: layer ${other} sees a window, which a GGUF file of this architecture cannot say`,
    "write x.safetensors or a folder instead",
  );
}

/** `layer_types` of such a model. */
export const layerTypes = (layers: number, every: number): string[] =>
  Array.from({ length: layers }, (_, layer) => (isFull(layer, every) ? "full_attention" : "sliding_attention"));
