/**
 * Evenly spaced layers, by how much faster a pass is to be. Liu et al. 2024, Accelerating Inference in Large Language
 * Models with a Unified Layer Skipping Strategy, https://arxiv.org/abs/2404.06954
 */
import { UserError } from "../../errors.ts";

/**
 * `keep` of the layers: the first, the last, and every floor(layers / (keep - 1))-th between them until there are
 * enough. Throws UserError for fewer than the two.
 */
export function uniformLayers(layers: number, keep: number): number[] {
  if (keep >= layers) return Array.from({ length: layers }, (_, layer) => layer);
  if (keep < 2)
    throw new UserError(
      `of ${layers} layers ${keep} would stay, and the first and the last one always do`,
      "ask for a smaller speed-up",
    );
  const step = Math.floor(layers / (keep - 1));
  const kept = [0];
  for (let layer = 1; layer < layers - 1 && kept.length < keep - 1; layer++) if (layer % step === 0) kept.push(layer);
  return [...kept, layers - 1];
}

/** Layers that stay for a speed-up: floor(layers / speedup). */
export const layersFor = (layers: number, speedup: number): number => Math.floor(layers / speedup);
