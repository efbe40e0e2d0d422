/** GPU memory of a training run, by kind, in bytes. */
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import type { Trainer } from "./trainer.ts";

export type MemoryReport = {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  readonly activations: number;
  readonly total: number;
} & Readonly<Record<string, number>>;

/**
 * Of the largest batch, once all of it is allocated; `activations` includes its programs' inputs and outputs, `more`
 * is what a technique and its rules hold, `rounding` what the pool of buffers adds by its size classes.
 */
export function memoryReport<B>(
  model: Model,
  trainer: Trainer<B>,
  programs: readonly Program[],
  trained: readonly Parameter[],
  more: Readonly<Record<string, number>> = {},
): MemoryReport {
  const held = new Set([...model.parameters.values(), ...(model.adapter?.tensors() ?? []), ...trained]);
  // What lies in pages is counted by their store.
  const weights = [...held].reduce((sum, { bytes, pages }) => sum + (pages ? 0 : bytes), 0);
  const gradients = trained.reduce((sum, { size, pages }) => sum + (pages ? 0 : 4 * size), 0);
  const experts: Record<string, number> = model.store ? { "expert slots": model.store.deviceBytes } : {};
  const { states: optimizer } = trainer.bytes;
  // Programs take turns in one memory; what is their own adds up.
  const shared = programs.reduce((most, { plan }) => Math.max(most, plan.bytes), 0);
  const activations = shared + programs.reduce((sum, { ownBytes }) => sum + ownBytes, 0);
  const parts = { weights, gradients, optimizer, activations, ...experts, ...more };
  const sum = Object.values(parts).reduce((a, b) => a + b, 0);
  const rounding = Math.max(0, model.gpu.pool.allocated - sum);
  return { ...parts, rounding, total: sum + rounding };
}
