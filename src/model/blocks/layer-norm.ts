/** LayerNorm with a bias, as GPT-2, GPT-NeoX, BERT and ViT have it. */
import { layerNorm } from "../../tensor/ops/norm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Net, ParameterSpec } from "../architecture.ts";

/** `<name>.weight` and `<name>.bias`. */
export const layerNormSpecs = (name: string, width: number): ParameterSpec[] => [
  { name: `${name}.weight`, shape: [width], init: "ones" },
  { name: `${name}.bias`, shape: [width], init: "zeros" },
];

/** x (N, C) normalised, with the gain and the bias of this name. */
export const normed = (net: Net, { eps }: { readonly eps: number }, name: string, x: Tensor): Tensor =>
  layerNorm(net.rec, x, net.weight(`${name}.weight`), net.weight(`${name}.bias`), { eps });
