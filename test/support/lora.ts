/** LoRA as tests look into it: the adapter of a model, and the change of a tensor. */
import { isRowPatch, type LowRankPatch, type TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { LoraAdapter } from "../../src/model/adapters/lora/lora.ts";
import type { Model } from "../../src/model/model.ts";

export function loraOf({ adapter }: Pick<Model, "adapter">): LoraAdapter {
  if (adapter instanceof LoraAdapter) return adapter;
  throw new Error("the model has no LoRA adapter");
}

export function lowRankOf(entry: Pick<TensorEntry, "patch"> | undefined): LowRankPatch {
  const patch = entry?.patch;
  if (!patch || isRowPatch(patch)) throw new Error("the tensor has no low-rank change");
  return patch;
}
