/**
 * Expand: a model with more blocks that computes the same. Behind each chosen block comes a copy whose matrices that
 * write to the residual stream are 0. To learn something new without losing what is there, the copies alone are trained
 * (`train --train-only`), behind blocks that matter least to what is to be kept (`evaluate --probe layer-importance`).
 *
 * ADEPT, ICLR 2026, https://arxiv.org/abs/2510.10071; block expansion as in LLaMA Pro, ACL 2024,
 * https://arxiv.org/abs/2401.02415.
 */
import { sameClaim } from "../../../method/laws.ts";
import { MERGE_LAWS, mergeMethod } from "../../contract.ts";
import { expanded } from "../../structure/expand.ts";
import { combineParts } from "../../structure/outline.ts";

export const method = mergeMethod({
  name: "expand",
  title: "Block expansion",
  about: "a deeper model of the same outputs: copies behind chosen blocks add nothing until trained",
  cite: "arXiv:2510.10071",
  laws: sameClaim(MERGE_LAWS, "the result has more blocks than its model"),
  models: [1, 1],
  base: "none",
  heights: "equal",
  passes: "one",
  options: {
    layers: { type: "string | number", required: true, value: "LIST", help: "blocks that are copied, from 0: 2,5-7" },
  },

  outline: ({ models, values }) => expanded(models[0]!, values.layers),
  merge: combineParts,
});
