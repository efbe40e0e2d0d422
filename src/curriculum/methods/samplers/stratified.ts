/** Every group alike, whatever its size: the baseline that methods with feedback are compared with. */
import { defineSampler, uniform } from "../../contract.ts";
import { staged } from "../../staged.ts";

export const method = defineSampler({
  name: "stratified",
  title: "Stratified",
  about: "every group with the same share, whatever its size",
  cite: "arXiv:2307.14430",
  options: {},
  make: ({ groups, steps }) => staged([{ probs: uniform(groups.length), steps }]),
});
