/** Gradients go back from the loss through all layers: Rumelhart, Hinton and Williams 1986 */
import { defineCredit } from "../../credit.ts";

export const method = defineCredit({
  name: "backprop",
  title: "Backpropagation",
  about: "the gradient of the loss goes back through all layers",
  cite: "doi:10.1038/323533a0",
  options: {},
});
