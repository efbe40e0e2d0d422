/** Leaves out the first layers: a baseline, of which little is to be expected. */
import { definePlainDepthRule, layersBelow } from "../../depth-rule.ts";

export const method = definePlainDepthRule({
  name: "first",
  title: "Without the first layers",
  about: "leaves out the lowest layers, as a baseline",
  cite: "ingot",
  options: {},
  choose: ({ layers, keep }) => layersBelow(layers).slice(layers - keep),
});
