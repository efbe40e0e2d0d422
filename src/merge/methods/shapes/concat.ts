/**
 * Concat: several networks of one kind side by side in one. Their features stand next to each other, and its head
 * gives the mean of their logits; a head that is trained on all features together uses what each network found.
 *
 * Zhang and Bottou, Learning useful representations for shifting tasks and distributions, ICML 2023,
 * https://arxiv.org/abs/2212.07346 (Cat). Every matrix becomes block-diagonal; one that reads the input is stacked, and
 * one that gives the output is joined. Networks with norms over their width have no such form: the norm of the joined
 * features is not those of the parts.
 */
import { sameClaim } from "../../../method/laws.ts";
import { MERGE_LAWS, mergeMethod } from "../../contract.ts";
import { joined } from "../../structure/joined.ts";
import { combineParts } from "../../structure/outline.ts";

export const method = mergeMethod({
  name: "concat",
  title: "Concatenation",
  about: "several classifiers side by side in one network, whose logits are the mean of theirs",
  cite: "arXiv:2212.07346",
  laws: sameClaim(MERGE_LAWS, "the result has another shape than its models"),
  models: [2, Number.POSITIVE_INFINITY],
  base: "none",
  heights: "equal",
  passes: "one",
  options: {},

  outline: ({ models }) => joined(models),
  merge: combineParts,
});
