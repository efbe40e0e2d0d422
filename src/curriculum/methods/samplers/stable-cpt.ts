/**
 * Continued pre-training with a small stability gap: the mixture stays that of the original pre-training, and the new
 * domain takes the place of its web crawl. Guo et al. 2024, https://arxiv.org/abs/2406.14833.
 *
 * `mixture` is the original one, with the share of the crawl for the domain; when left out the domain has
 * `domain_share` and the others share the rest by size. The other half of the recipe, the best part of the domain over
 * several epochs, is the ordering quality.ts.
 */
import { UserError } from "../../../errors.ts";
import { defineSampler } from "../../contract.ts";
import { MIXTURE, mixtureOf, placesOf, sharesAmong } from "../../mixture-options.ts";
import { staged } from "../../staged.ts";

export const method = defineSampler({
  name: "stable-cpt",
  title: "Stable continued pre-training",
  about: "a new domain in place of the web crawl of the original mixture",
  cite: "arXiv:2406.14833",
  laws: {
    keepsEveryGroup: true,
    followsLosses: "the mixture is fixed",
    anyGroupOrder: true,
    shiftInvariant: "it hears no losses",
    stepZero: "it has no step size",
  },
  trials: [{ domain: ["b"] }],
  options: {
    domain: { type: "string[]", required: true, help: "groups of the new domain" },
    mixture: { ...MIXTURE, help: `the original mixture: ${MIXTURE.help}` },
    domain_share: { type: "0 < number <= 1", default: 0.7, help: "share of the domain without --mixture" },
  },
  make({ groups, steps, values }) {
    const domain = placesOf(values.domain, groups, "--domain");
    const general = groups.flatMap((_, i) => (domain.includes(i) ? [] : [i]));
    if (domain.length === 0) throw new UserError("--domain names no group");
    if (general.length === 0) throw new UserError("--domain names all groups", "some must be as in pre-training");
    const rows = groups.map((group) => group.rows);
    const [own, others] = [sharesAmong(domain, rows), sharesAmong(general, rows)];
    const share = values.domain_share;
    const probs = mixtureOf(values.mixture, groups) ?? own.map((p, i) => share * p + (1 - share) * others[i]!);
    return staged([{ probs, steps }]);
  },
});
