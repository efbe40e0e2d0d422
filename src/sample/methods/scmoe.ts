/**
 * Self-contrast of a mixture of experts: what its usual experts say (strong) that less likely ones do not (weak), by
 * two passes of one model. With z the logits, a token with z_strong at least max z_strong + ln alpha has the score
 *
 *   (1 + beta) z_strong - beta z_weak
 *
 * and every other has none. Shi et al. 2024, https://arxiv.org/abs/2405.14507
 */
import { UserError } from "../../errors.ts";
import { defineDecoder } from "../../run/combining/contract.ts";
import { plausible } from "../../run/combining/log-probabilities.ts";

/** The ranks of "top2" (0 and 1) or "rank2" (2 alone). Throws UserError for another text. */
function ranksOf(flag: string, text: string): number[] {
  const [, how, digits] = /^(top|rank)(\d{1,4})$/.exec(text) ?? [];
  const n = Number(digits);
  if (how === "rank") return [n];
  if (how === "top" && n > 0) return Array.from({ length: n }, (_, rank) => rank);
  throw new UserError(
    `${flag} ${text} names no experts`,
    "top2 is the two likeliest, rank2 the third likeliest alone: ranks go from 0",
  );
}

export const method = defineDecoder({
  name: "scmoe",
  title: "Self-contrast of experts",
  about: "what a mixture's usual experts say and less likely ones do not",
  cite: "arXiv:2405.14507",
  options: {
    scmoe_strong: {
      type: "string",
      help: "experts that are followed: top2 the two likeliest, rank2 that of rank 2 (from 0) alone; the model's own when left out",
      value: "HOW",
    },
    scmoe_weak: {
      type: "string",
      default: "rank2",
      help: "experts that are left behind, in the same way",
      value: "HOW",
    },
    scmoe_beta: { type: "number >= 0", default: 0.5, help: "how far they are left behind; 0: not at all", value: "B" },
    scmoe_alpha: {
      type: "0 < number <= 1",
      default: 0.1,
      help: "share of the strong experts' largest probability that a token must have of them",
      value: "A",
    },
    scmoe_strong_temperature: {
      type: "number > 0",
      default: 1,
      help: "divides the logits of the strong experts before all else",
      value: "T",
    },
    scmoe_weak_temperature: {
      type: "number > 0",
      default: 1,
      help: "divides the logits of the weak experts before all else",
      value: "T",
    },
  },
  laws: {
    shiftFree: true,
    alike: "tokens that are not plausible are left out",
    whole: "tokens that are not plausible are left out",
  },
  models: [1, 1],
  roles: "one mixture of experts",
  make({ values }) {
    const { scmoe_strong: own, scmoe_beta: beta, scmoe_alpha: alpha } = values;
    const strong = own === undefined ? {} : { ranks: ranksOf("--scmoe-strong", own) };
    const weak = { ranks: ranksOf("--scmoe-weak", values.scmoe_weak) };
    return {
      views: [
        { model: 0, ...strong },
        { model: 0, ...weak },
      ],
      begin: () => (said) => {
        const z = Float64Array.from(said[0]!, (x) => x / values.scmoe_strong_temperature);
        const behind = said[1]!;
        return plausible(z, alpha).map((x, id) =>
          x === Number.NEGATIVE_INFINITY ? x : (1 + beta) * x - beta * (behind[id]! / values.scmoe_weak_temperature),
        );
      },
    };
  },
});
