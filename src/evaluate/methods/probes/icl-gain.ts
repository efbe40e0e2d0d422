/**
 * How much better a model answers with more examples before the question: accuracy of each counted token of a row, the
 * first alone and the last after all others, in rows of `data gpicl` a class behind each example. The gain is that of
 * the last over the first; on unseen tasks it tells a model that learns from its context, on seen ones alone a model
 * that knows tasks. Kirsch et al. 2022, https://arxiv.org/abs/2212.04458
 */
import { loadSequences } from "../../../data/dataset.ts";
import { UserError } from "../../../errors.ts";
import { scoreSequences } from "../../../run/scoring/score-rows.ts";
import { bootstrap } from "../../bootstrap.ts";
import { refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

const share = (rows: readonly (readonly boolean[])[], place: number): number =>
  rows.filter((row) => row[place]).length / rows.length;

export const method = defineTechnique({
  name: "icl-gain",
  title: "Gain in context",
  about: "how much more often the last answer of a row is right than the first: what a model learns from its context",
  cite: "arXiv:2212.04458",
  metrics: [],
  options: {
    icl_gain_batch: { type: "number.integer >= 1", default: 32, help: "rows at once", value: "N" },
    icl_gain_draws: { type: "number.integer >= 1", default: 500, help: "resamples for the interval", value: "N" },
  },
  laws: { reproducible: true, companions: true },
  check: (info) => refuseMeasures("icl-gain", info),

  async run({ values, candidates, groups, quantize: bits, loader, seed, signal }) {
    const rows = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits });
      const { ref, model, tools } = loaded;
      try {
        if (!tools) throw new UserError(`--probe icl-gain is for language models; ${ref} is none`, "leave it out");
        const { sequences } = await loadSequences(groups, tools.encode);
        if (i === 0) loader.begin(candidates.length * sequences.length, "rows");
        const options = { rows: values.icl_gain_batch, signal, ref };
        const scored = await scoreSequences(model, sequences, tools.tokenizer?.pad ?? 0, options);
        loader.tick(ref, sequences.length);
        for (const [group, { name }] of groups.entries()) {
          const own = scored.filter((_, at) => sequences[at]!.group === group);
          const right = own.map(({ targets, argmax }) => [...targets].map((target, at) => target === argmax[at]));
          const places = right[0]?.length ?? 0;
          if (right.some((row) => row.length !== places) || places < 2)
            throw new UserError(
              `the group ${name} has rows that count ${[...new Set(right.map((row) => row.length))].join(", ")} tokens`,
              "rows of data gpicl count as many each, two or more",
            );
          const gainOf = (list: readonly (readonly boolean[])[]) => share(list, places - 1) - share(list, 0);
          rows.push({
            ...{ model: ref, group: name, rows: right.length, first: share(right, 0), last: share(right, places - 1) },
            gain: gainOf(right),
            interval: bootstrap([right], ([drawn = []]) => gainOf(drawn), { draws: values.icl_gain_draws, seed }),
            curve: Array.from({ length: places }, (_, place) => share(right, place)),
          });
        }
      } finally {
        await loaded.free();
      }
    }
    const header = ["model", "group", "rows", "first", "last", "gain", "low", "high"];
    const table = rows.map(({ model, group, rows: n, first, last, gain, interval }) => [
      ...[model, group, `${n}`, first, last, gain, ...interval],
    ]);
    return { table: [header, ...table], json: { rows } };
  },
});
