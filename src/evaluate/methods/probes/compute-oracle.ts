/**
 * Which tokens need the big feed-forward networks of a decoder that has two sizes of them (`duo_decoder`), and in which
 * layers: all placements of big networks are tried, small ones elsewhere.
 *
 *   oracle      mean loss where each token takes its best placement of at most b big networks
 *   random      expected loss of a placement of b big networks that is drawn evenly
 *   best        loss of the one placement of b that is best for all tokens together, and where it has them
 *   difficulty  loss with small networks alone, less the oracle's
 *   chosen      share of the tokens whose oracle takes the big network, by layer
 *
 * All tokens of a sequence go one way at a time. Alizadeh et al., Duo-LLM: A Framework for Studying Adaptive
 * Computation in Large Language Models, 2024, https://arxiv.org/abs/2410.10846
 */
import { UserError } from "../../../errors.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { computeOracle } from "../../../run/tracing/feed-forward-ways.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "compute-oracle",
  title: "Oracle of computation",
  about: "of a duo_decoder: the loss with b big feed-forward networks, placed best for each token, and at random",
  cite: "arXiv:2410.10846",
  metrics: [],
  options: {
    compute_oracle_batch: { type: "number.integer >= 1", default: 4, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check({ metrics, gold }) {
    if (metrics.length > 0)
      throw new UserError("--metric has no effect with --probe compute-oracle, which measures losses", "leave it out");
    if (gold)
      throw new UserError("--gold has no effect with --probe compute-oracle", "give the model as one more argument");
  },

  async run({ values, groups, candidates, quantize, loader, signal }) {
    const rows = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const { model, ref } = loaded;
      const { batches } = await readBatches(groups, loaded, values.compute_oracle_batch);
      if (i === 0) loader.begin(candidates.length * batches.reduce((sum, batch) => sum + batch.rows, 0), "rows");
      const done = (many: number) => loader.tick(ref, many);
      const { tokens, budgets } = await computeOracle(model, batches, { ref, signal, done });
      rows.push({ model: ref, tokens, one_beats_all: budgets[1]!.fixed < budgets.at(-1)!.fixed, budgets });
      await loaded.free();
    }
    const percent = (x: number) => `${Math.round(100 * x)}`;
    const table = rows.flatMap(({ model, budgets }) =>
      budgets.map(({ big, oracle, random, fixed, placement, difficulty, layers }) => [
        ...[model, String(big), oracle, random, fixed],
        ...[placement.join(",") || "none", difficulty, layers.map(percent).join(" ")],
      ]),
    );
    const header = ["model", "big", "oracle", "random", "best", "at layers", "difficulty", "chosen, %"];
    return { table: [header, ...table], json: { rows } };
  },
});
