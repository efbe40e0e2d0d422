/** Leaves out the last layers: a baseline. */
import { definePlainDepthRule, layersBelow } from "../../depth-rule.ts";

export const method = definePlainDepthRule({
  name: "last",
  title: "Without the last layers",
  about: "leaves out the highest layers, as a baseline",
  cite: "ingot",
  options: {},
  choose: ({ keep }) => layersBelow(keep),
});
