/**
 * How much each block of a model matters to rows: the blocks that matter least to what is to be kept are those that
 * `merge --method expand` copies, to be trained on something new. ADEPT, ICLR 2026, https://arxiv.org/abs/2510.10071.
 *
 *   ablation  loss with all weights of the block at 0, less the loss as it is
 *   gradient  mean over batches of the sum of |theta x gradient| over the block's weights
 *
 * The share is the importance between that of the least and that of the most important block, 0 to 1.
 */
import { UserError } from "../../../errors.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { ablatedLosses, blockWeights, gradientImportances, normalized } from "../../../run/fisher/layer-importance.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "layer-importance",
  title: "Importance of blocks",
  about: "how much the loss hangs on each block of a model; which ones matter least, for merge --method expand",
  cite: "arXiv:2510.10071",
  metrics: [],
  options: {
    layer_importance_by: {
      type: "'ablation' | 'gradient'",
      default: "ablation",
      help: "loss without the block, or the sum of |weight x gradient| over it",
    },
    layer_importance_batch: { type: "number.integer >= 1", default: 2, help: "rows of a batch", value: "N" },
    layer_importance_least: {
      type: "number.integer >= 1",
      help: "how many of the least important blocks to name; an eighth of all, rounded up, when left out",
      value: "K",
    },
  },
  laws: { reproducible: true, companions: true },

  check({ metrics, gold }) {
    if (metrics.length > 0)
      throw new UserError(
        "--metric has no effect with --probe layer-importance, which measures the loss",
        "leave it out",
      );
    if (gold)
      throw new UserError("--gold has no effect with --probe layer-importance", "give the model as one more argument");
  },

  async run({ values, groups, candidates, quantize, loader, signal }) {
    const { layer_importance_by: by, layer_importance_batch: many, layer_importance_least: asked } = values;
    const rows: { model: string; by: string; loss: number; importance: number[]; share: number[]; least: number[] }[] =
      [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { trained: by === "gradient", bits: quantize });
      const { model, ref } = loaded;
      const blocks = blockWeights(model, ref).length;
      if (asked !== undefined && asked > blocks)
        throw new UserError(`--layer-importance-least ${asked}: ${ref} has ${blocks} blocks`, "ask for fewer");
      const { batches } = await readBatches(groups, loaded, many);
      const counted = batches.filter(({ counted }) => counted > 0);
      const passes = by === "ablation" ? blocks + 1 : 1;
      if (i === 0) loader.begin(candidates.length * passes * counted.length, "batches");
      const measure = by === "ablation" ? ablatedLosses : gradientImportances;
      const { loss, importance } = await measure(model, counted, { ref, signal, done: () => loader.tick(ref) });
      const order = [...importance.keys()].sort((a, b) => importance[a]! - importance[b]! || a - b);
      const least = order.slice(0, asked ?? Math.ceil(blocks / 8)).sort((a, b) => a - b);
      rows.push({ model: ref, by, loss, importance, share: normalized(importance), least });
      await loaded.free();
    }
    const table = rows.flatMap(({ model, importance, share, least }) =>
      importance.map((x, block) => [model, String(block), x, share[block]!, least.includes(block) ? "*" : ""]),
    );
    return {
      table: [["model", "block", by === "ablation" ? "loss without" : "|w g|", "share", "least"], ...table],
      json: { rows },
    };
  },
});
