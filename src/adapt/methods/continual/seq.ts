/** Plain training on one task after another: what every continual method is compared with. */
import { continualMethod } from "../../continual/contract.ts";

export const method = continualMethod({
  name: "seq",
  title: "Sequential training",
  about: "one task after another, and nothing against forgetting",
  cite: "common practice",
  options: {},
  begin: () => ({}),
});
