/** Training on all tasks at once: the ceiling of every continual method. */
import { continualMethod } from "../../continual/contract.ts";

export const method = continualMethod({
  name: "joint",
  title: "Joint training",
  about: "the rows of all tasks together, shuffled: the ceiling",
  cite: "common practice",
  joint: true,
  options: {},
  begin: () => ({}),
});
