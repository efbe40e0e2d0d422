/**
 * A soft preference for short answers: 1 for none, falling to 0 at a length, on a line or as half a cosine. The share
 * of a budget that is left, as in Team et al. 2025 (Kimi k1.5), https://arxiv.org/abs/2501.12599, whose own form is
 * `group-length`.
 */
import { defineVerifier, each } from "../../verifying/contract.ts";
import { lengthOf, MAX, mostOf, UNIT } from "../../verifying/lengths.ts";

export const method = defineVerifier({
  name: "length",
  title: "Length",
  about: "1 for the shortest answer, falling to 0 at a length",
  cite: "arXiv:2501.12599",
  laws: { alone: true, truth: "a completion has a length", range: true },
  range: [0, 1],
  options: {
    max: MAX,
    form: { type: "'linear' | 'cosine'", default: "linear", help: "how it falls" },
    unit: UNIT,
  },
  trial: "8",
  make(setup) {
    const { max, form, unit } = setup.values;
    const most = mostOf(setup, { max, unit });
    return each((answered) => {
      const part = Math.min(1, lengthOf(answered, unit) / most);
      return form === "linear" ? 1 - part : (1 + Math.cos(Math.PI * part)) / 2;
    });
  },
});
