/**
 * De-coalesce: a network of several times the width and depth. More width leaves what it computes as it is; more depth
 * does not, since every block runs several times.
 *
 * A Multi-Level Framework for Accelerating Training Transformer Models, ICLR 2024, https://arxiv.org/abs/2404.07999.
 * Its parts are copies that get equal gradients, so it is mixed into the network that was trained before (`linear`)
 * and not trained on as it is.
 */
import { sameClaim } from "../../../method/laws.ts";
import { MERGE_LAWS, mergeMethod } from "../../contract.ts";
import { combineParts } from "../../structure/outline.ts";
import { rescaled, SCALING } from "../../structure/rescale.ts";

export const method = mergeMethod({
  name: "decoalesce",
  title: "De-coalescing",
  about: "a network of twice the width and depth, by copies; width leaves the function as it is",
  cite: "arXiv:2404.07999",
  laws: sameClaim(MERGE_LAWS, "the result has another shape than its model"),
  models: [1, 1],
  base: "none",
  heights: "equal",
  passes: "one",
  options: SCALING,

  outline: ({ models, values }) => rescaled(models[0]!, { ...values, way: "multiply" }, "decoalesce"),
  merge: combineParts,
});
