/**
 * How a customer rates advice in a shop of `data shop`: at once, by what was claimed, or in hindsight, after what a
 * purchase reveals or with everything known. RLHS: Mitigating Misalignment in RLHF with Hindsight Simulation, 2025,
 * https://arxiv.org/abs/2501.08617
 */
import { rated, shopIn } from "../../../data/worlds/shop.ts";
import { BUYER } from "../../hindsight.ts";
import { defineVerifier, each } from "../../verifying/contract.ts";

export const method = defineVerifier({
  name: "buyer",
  title: "Buyer",
  about: "how a customer of data shop rates advice: at once, after the purchase, or with everything known",
  cite: "arXiv:2501.08617",
  laws: { alone: true, truth: "advice may claim too much", range: true },
  range: [-1, 1],
  options: BUYER,
  make: ({ values: { hindsight, trust } }) =>
    each(({ answer, row }) => {
      const shop = shopIn(row.extra);
      return shop ? rated(shop, answer, hindsight, trust).rating : null;
    }),
});
