/**
 * Incubate: a stage of a deep network inside a shallow one that is trained already, so that stages can be trained
 * apart: blocks of the shallow network before and after, and between them those of the deep one. Everything but the
 * stage is frozen while it is trained (`train --train-only`), and `assemble` puts the stages together.
 *
 * Ni et al., Deep Incubation, ICCV 2023, https://arxiv.org/abs/2212.04129.
 */
import { sameClaim } from "../../../method/laws.ts";
import { MERGE_LAWS, mergeMethod } from "../../contract.ts";
import { combineParts } from "../../structure/outline.ts";
import { incubated } from "../../structure/stages.ts";

export const method = mergeMethod({
  name: "incubate",
  title: "Deep Incubation",
  about: "a stage of a deep network (the model) between the blocks of a trained shallow one (the base)",
  cite: "arXiv:2212.04129",
  laws: sameClaim(MERGE_LAWS, "the result has other blocks than its models"),
  models: [1, 1],
  base: "required",
  heights: "equal",
  passes: "one",
  options: {
    stage: { type: "number.integer >= 1", required: true, value: "I", help: "which stage of the deep network, from 1" },
    divide: { type: "number.integer >= 1", default: 4, value: "S", help: "stages that each network is divided into" },
  },

  outline: ({ models, base, values }) => incubated(models[0]!, base!, values),
  merge: combineParts,
});
