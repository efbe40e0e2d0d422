/** GPU memory of a training run, by kind, in bytes. */
import type { Model } from "../model/model.ts";
import type { Program } from "../tensor/program.ts";
import type { Trainer } from "./trainer.ts";

export type MemoryReport = {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  readonly activations: number;
  readonly total: number;
};

/** Of the largest program; `activations` includes its inputs and outputs. */
export function memoryReport<B>(model: Model, trainer: Trainer<B>, program: Program): MemoryReport {
  const trained = model.trainable();
  const held = new Set([...model.parameters.values(), ...trained]);
  const weights = [...held].reduce((sum, { bytes }) => sum + bytes, 0);
  const gradients = trained.reduce((sum, { size }) => sum + 4 * size, 0);
  const { states: optimizer } = trainer.bytes;
  const activations = program.plan.bytes + program.ownBytes;
  return { weights, gradients, optimizer, activations, total: weights + gradients + optimizer + activations };
}
