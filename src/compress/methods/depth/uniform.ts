/** Keeps evenly spaced layers. Liu et al. 2024, https://arxiv.org/abs/2404.06954 */
import { uniformLayers } from "../../../run/depth/uniform.ts";
import { definePlainDepthRule } from "../../depth-rule.ts";

export const method = definePlainDepthRule({
  name: "uniform",
  title: "Unified layer skipping",
  about: "the first, the last, and layers at equal distances between them",
  cite: "arXiv:2404.06954",
  options: {},
  choose: ({ layers, keep }) => uniformLayers(layers, keep),
});
