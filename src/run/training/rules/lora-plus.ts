/**
 * LoRA+: B of every linear layer's adapter at a learning rate of its own, a multiple of A's.
 *
 * Hayou, Ghosh and Yu, ICML 2024, https://arxiv.org/abs/2402.12354. The bias of B (`lora_bias`) has B's rate; an
 * embedding's factors, of which A begins at zero, and DoRA's lengths have A's. What is multiplied is the whole step,
 * decay included, as a learning rate multiplies it.
 */
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import { matrixOf } from "../../fisher/unit-products.ts";
import { UnitScales } from "./unit-scales.ts";

/** The rule for a model with a LoRA adapter. Throws UserError where it has no B of a linear layer. */
export function loraPlus(model: Model, ratio: number, seed: number): UnitScales {
  const all = model.trainable().filter(({ name }) => /\.lora_B\.(weight|bias)$/.test(name));
  if (all.length === 0)
    throw new UserError(
      "--lora-plus: the adapter has no B of a linear layer",
      "give it linear layers in --lora-targets",
    );
  const scales = all.map((parameter) => {
    const factors = new Float32Array(matrixOf(parameter.shape).rows).fill(ratio);
    return { parameter, along: "row" as const, factors };
  });
  return new UnitScales(model.gpu, scales, { name: "lora-plus", apply: "update", seed });
}
