/**
 * A fixed mixture: as given, or by size with a temperature, p_i in proportion to n_i^(1/T). T = 1 is the natural
 * mixture, a large T the uniform one; multilingual models are trained with 2 to 5 (Conneau et al. 2020,
 * https://arxiv.org/abs/1911.02116).
 *
 * Groups are drawn by rows. With `by` tokens shares are of tokens: m_i is divided by the tokens of a row of the group.
 */
import { UserError } from "../../../errors.ts";
import { normalised } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { MIXTURE, mixtureOf } from "../../mixture-options.ts";
import { staged } from "../../staged.ts";
import { readWeights } from "../../weights-file.ts";

export const method = defineSampler({
  name: "static",
  title: "Static mixture",
  about: "fixed shares: as given, or by size with a temperature",
  cite: "arXiv:1911.02116",
  laws: {
    keepsEveryGroup: true,
    followsLosses: "the mixture is fixed",
    anyGroupOrder: true,
    shiftInvariant: "it hears no losses",
    stepZero: "it has no step size",
  },
  trials: [{}, { mixture: [4, 3, 2, 1], by: "tokens" }, { temperature: 3 }],
  options: {
    mixture: { ...MIXTURE, help: `${MIXTURE.help}; by size when left out` },
    mixture_file: {
      type: "string",
      help: "shares by name, of curriculum regmix, or the --log of a run by doge or doremi, in place of --mixture",
      value: "FILE",
    },
    temperature: { type: "number > 0", default: 1, help: "T of size^(1/T): 1 natural, large uniform" },
    by: { type: "'rows' | 'tokens'", default: "rows", help: "what sizes and shares count" },
  },
  make({ groups, steps, values: { mixture: listed, mixture_file, temperature, by } }) {
    if (listed && mixture_file !== undefined)
      throw new UserError("both --mixture and --mixture-file give shares", "leave one of them out");
    const flag = mixture_file === undefined ? "--mixture" : "--mixture-file";
    const mixture = mixture_file === undefined ? listed : readWeights(mixture_file, groups, flag);
    if (mixture && temperature !== 1) {
      throw new UserError(`--temperature ${temperature} is for sizes, and ${flag} is given`, "leave one of them out");
    }
    const sizes = groups.map((group) => group[by] ** (1 / temperature));
    const shares = mixtureOf(mixture, groups, flag) ?? normalised(sizes);
    const rowLength = groups.map(({ rows, tokens }) => (by === "tokens" && tokens > 0 ? tokens / rows : 1));
    return staged([{ probs: normalised(shares.map((share, i) => share / rowLength[i]!)), steps }]);
  },
});
