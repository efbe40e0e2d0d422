/** The cyclical curriculum (cyclical.ts) with scores from the model as it is before every pass, instead of those of the start. */

import { defineOrdering } from "../../contract.ts";
import { method as cyclical } from "./cyclical.ts";

export const method = defineOrdering({
  ...cyclical,
  name: "cyclical-live",
  title: "Cyclical curriculum, self-paced",
  about: "cyclical, by the losses of the model as it is",
  needs: "live",
});
