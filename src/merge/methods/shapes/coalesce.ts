/**
 * Coalesce: a network of a fraction of the width and depth, whose parts are means of those that they stand for.
 *
 * A Multi-Level Framework for Accelerating Training Transformer Models, ICLR 2024, https://arxiv.org/abs/2404.07999.
 * Neighbours become one: coordinates, hidden units, heads (whole, with the heads of keys and values that they read) and
 * blocks. An embedding that is also the head is written twice, since what is written is averaged and what is read is
 * summed.
 */
import { sameClaim } from "../../../method/laws.ts";
import { MERGE_LAWS, mergeMethod } from "../../contract.ts";
import { combineParts } from "../../structure/outline.ts";
import { rescaled, SCALING } from "../../structure/rescale.ts";

export const method = mergeMethod({
  name: "coalesce",
  title: "Coalescing",
  about: "a network of half the width and depth, by means of neighbours",
  cite: "arXiv:2404.07999",
  laws: sameClaim(MERGE_LAWS, "the result has another shape than its model"),
  models: [1, 1],
  base: "none",
  heights: "equal",
  passes: "one",
  options: SCALING,

  outline: ({ models, values }) => rescaled(models[0]!, { ...values, way: "divide" }, "coalesce"),
  merge: combineParts,
});
