/**
 * Continued pre-training with a small stability gap, both halves of the recipe in one run: the best part of a new
 * domain over several passes, in a mixture near the original one. Guo et al. 2024, https://arxiv.org/abs/2406.14833
 *
 *   best part    curriculum select --select-by lowest-loss, by a reference model of trusted text of the domain
 *   training     curriculum --method stable-cpt, as many steps as so many passes over that part take
 *
 * The probe stability-gap of evaluate tells how deep and how long old abilities fall. How many rows, and the share of
 * the domain where --shares does not say it, are ingot's choice; the paper has about a tenth of the tokens four or five
 * times.
 */
import { definePreset } from "../../presets/contract.ts";
import { batchOf, flags, trains } from "../../presets/stages.ts";

export const method = definePreset({
  name: "stable-cpt",
  title: "Stable continued pre-training",
  about: "the likeliest rows of a new domain several times, among general rows as the model was trained on",
  cite: "arXiv:2406.14833",
  options: {
    domain: { type: "string", required: true, help: "rows of the new domain", value: "FILE" },
    general: {
      type: "string[]",
      required: true,
      help: "rows of the original mixture, one file a source",
      value: "FILE",
    },
    shares: {
      type: "number[]",
      help: "shares of the domain, in the place of the web crawl, and of each --general; the domain 0.7 and the others by size when left out",
      value: "P",
    },
    reference: { type: "string", help: "model that the rows are likely to; the one that is trained when left out" },
    domain_rows: { type: "number.integer >= 1", default: 5000, help: "rows of the best part", value: "N" },
    domain_epochs: { type: "number > 0", default: 4, help: "passes over it", value: "N" },
    batch: { type: "number.integer >= 1", default: 64, help: "rows of an update", value: "N" },
    max_length: { type: "number.integer >= 1", default: 2048, help: "tokens of a row", value: "N" },
    cpt_lr: { type: "number > 0", default: 3e-5, help: "peak of the learning rate" },
    cpt_warmup: { type: "0 <= number < 1", default: 0.01, help: "share of the steps with a rising rate" },
  },
  stages(given) {
    const { model, to, shared, values } = given;
    const { domain, general, shares, domain_rows, domain_epochs, batch, max_length } = values;
    const [best, tuned] = [`${to}/best.jsonl`, `${to}/tuned`];
    const share = shares ? shares[0]! / shares.reduce((a, b) => a + b, 0) : 0.7;
    const groups = [`domain=${best}`, ...general.map((file, i) => `general-${i + 1}=${file}`)];
    const learns = trains(
      "The best part several times, among general rows",
      ...(["curriculum", model] as const),
      {
        ...{ method: "stable-cpt", domain: "domain", mixture: shares?.join(",") },
        ...{ ...batchOf(batch, given), max_length, schedule: "cosine", lr: values.cpt_lr, warmup: values.cpt_warmup },
        steps: Math.max(1, Math.round((domain_rows * domain_epochs) / (share * batch))),
      },
      tuned,
    );
    return [
      {
        title: "The rows of the domain that the reference finds likeliest",
        words: [
          ...["ingot", "curriculum", "select", values.reference ?? model],
          ...flags({ data: domain, select_by: "lowest-loss", keep_rows: domain_rows }),
        ],
        makes: best,
      },
      { ...learns, words: [...learns.words, ...groups.flatMap((group) => ["--data", group])] },
      {
        title: "Losses before and after",
        words: ["ingot", "evaluate", model, tuned, "--data", shared.test, "--metric", "loss,perplexity"],
      },
    ];
  },
});
