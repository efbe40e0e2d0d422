/** The same share for every group, whatever its size: the baseline for methods with feedback. */

import { uniform } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { staged } from "../../staged.ts";

export const method = defineSampler({
  name: "stratified",
  title: "Stratified",
  about: "every group with the same share, whatever its size",
  cite: "arXiv:2307.14430",
  laws: {
    keepsEveryGroup: true,
    followsLosses: "the mixture is fixed",
    anyGroupOrder: true,
    shiftInvariant: "it hears no losses",
    stepZero: "it has no step size",
  },
  options: {},
  make: ({ groups, steps }) => staged([{ probs: uniform(groups.length), steps }]),
});
