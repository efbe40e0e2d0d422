/** The cyclical curriculum (cyclical.ts) with scores from the model as it is before every pass, instead of those of the start. */
import { ordering as cyclical } from "./cyclical.ts";
import { defineOrdering } from "./method.ts";

export const ordering = defineOrdering({
  ...cyclical,
  name: "cyclical-live",
  title: "Cyclical curriculum, self-paced",
  about: "cyclical, by the losses of the model as it is",
  needs: "live",
});
