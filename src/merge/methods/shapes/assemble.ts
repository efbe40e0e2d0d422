/**
 * Assemble: the stages of a deep network that were trained apart, each inside the same shallow one, put together.
 * What is outside of the blocks is that of the shallow network; the result is trained on for a while.
 *
 * Ni et al., Deep Incubation, ICCV 2023, https://arxiv.org/abs/2212.04129.
 */
import { sameClaim } from "../../../method/laws.ts";
import { MERGE_LAWS, mergeMethod } from "../../contract.ts";
import { combineParts } from "../../structure/outline.ts";
import { assembled } from "../../structure/stages.ts";

export const method = mergeMethod({
  name: "assemble",
  title: "Model assembling",
  about: "a deep network of stages that were trained apart inside a shallow one (the base)",
  cite: "arXiv:2212.04129",
  laws: sameClaim(MERGE_LAWS, "the result has other blocks than its models"),
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "one",
  options: {},

  outline: ({ models, base }) => assembled(models, base!),
  merge: combineParts,
});
