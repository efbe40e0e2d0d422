/**
 * Contrast of two views of every row under several projection heads with a temperature for each pair
 * (train/losses/many-heads.ts). "Adaptive Multi-Head Contrastive Learning", ECCV 2024, https://arxiv.org/abs/2310.05615
 *
 * Labels train the head alone, by cross-entropy on features through which no gradient goes.
 */
import { lossWeights } from "../../../data/targets.ts";
import { UserError } from "../../../errors.ts";
import { loadMethod } from "../../../method/registry.ts";
import { fillTargets, recordTargets } from "../../../run/batch-programs.ts";
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { ofBatch, type RecordedLoss } from "../../../run/training/objective.ts";
import { stopGradient } from "../../../tensor/ops/elementwise.ts";
import { headLoss } from "../../../tensor/ops/head-loss.ts";
import { dot } from "../../../tensor/ops/reduce.ts";
import { ManyHeads } from "../../losses/many-heads.ts";
import { TwoViews } from "../../losses/two-views.ts";

export const method = defineLabelLoss({
  name: "amcl",
  title: "Adaptive multi-head contrastive learning",
  about:
    "two views of a row are alike under several heads, each pair at a temperature of its own; labels train the head",
  cite: "arXiv:2310.05615",
  laws: noLaws("a loss of views"),
  softens: true,
  whole: true,
  remembers: "which views were shown",
  options: {
    amcl_heads: { type: "number.integer >= 1", default: 3, help: "projection heads", value: "C" },
    amcl_width: { type: "number.integer >= 1", default: 128, help: "numbers of a head's output", value: "D" },
    amcl_low: { type: "number > 0", default: 0.01, help: "least temperature of a pair", value: "TAU" },
    amcl_high: { type: "number > 0", default: 2, help: "largest temperature of a pair", value: "TAU" },
    amcl_first: { type: "number > 0", default: 0.5, help: "temperature that pairs begin with", value: "TAU" },
    amcl_prior: { type: "number >= 0", default: 0.1, help: "weight of what keeps temperatures bounded", value: "BETA" },
    amcl_fixed: { type: "number > 0", value: "TAU", help: "one temperature for all pairs, and none is learnt" },
    amcl_views: {
      type: "string",
      default: "gaussian-noise",
      value: "NAME",
      help: "what makes a view of a row: a corruption of numbers or images (bun run data corrupt --help)",
    },
    amcl_severity: { type: "1 <= number.integer <= 5", default: 3, help: "how much of it, 1 to 5", value: "N" },
    amcl_range: { type: "number[]", default: [0, 1], value: "LOW,HIGH", help: "of the values of x" },
  },
  check({ amcl_low: low, amcl_high: high, amcl_first: first, amcl_range: [least, most] }) {
    if (!(low < first && first < high))
      throw new UserError(
        `--amcl-first ${first} is not between --amcl-low ${low} and --amcl-high ${high}`,
        "give a temperature between them",
      );
    if (least === undefined || most === undefined || !(least < most))
      throw new UserError("--amcl-range is no range", "give the least and the largest value: --amcl-range 0,1");
  },
  async own({ model, values, softened, seed, recompute }) {
    if (model.task !== "classifier" || !model.sizes.example)
      throw new UserError(
        `--loss amcl makes views of numbers and images, and ${model.architecture.name} reads no numbers`,
        "train a classifier on rows of x or image",
      );
    const corruption = await loadMethod("corruption", values.amcl_views, "--amcl-views");
    if (corruption.words)
      throw new UserError(`--amcl-views ${corruption.name} is of texts`, "name one of numbers or images");
    const { width, outputs } = model.sizes;
    const { amcl_low: low, amcl_high: high, amcl_first: first, amcl_prior: prior, amcl_range: range } = values;
    const views = new TwoViews({ corruption, severity: values.amcl_severity, range: [range[0]!, range[1]!], seed });
    const heads = new ManyHeads(model.gpu, {
      ...{ heads: values.amcl_heads, width, outputs: values.amcl_width, seed },
      temperature: values.amcl_fixed ?? { low, high, first, prior },
    });
    return {
      updates: [views],
      extra: heads.parameters,
      objective: {
        name: "amcl",
        ...ofBatch((batch) => batch),

        record(rec, batch): RecordedLoss {
          const { hidden, head } = model.record(rec, views.record(rec, batch), { recompute, statistics: "batch" });
          const { loss, temperature } = heads.loss(rec, hidden);
          const targets = recordTargets(rec, batch);
          const weights = rec.input("weights", [batch.rows]); // 1 / total where a row counts
          // The first views are the first rows.
          const seen = rec.part(stopGradient(rec, hidden), 0, [batch.rows, width]);
          const probe = headLoss(rec, { hidden: seen, head, width: outputs, targets, ...softened });
          const one = rec.constant(Float32Array.of(1), [1], "one");
          return {
            backward: [
              [loss, one],
              [probe, weights],
            ],
            metrics: { loss, temperature, head_loss: dot(rec, probe, weights) },
          };
        },

        fill(program, batch, total) {
          views.fill(program, batch);
          program.write("weights", lossWeights(batch, fillTargets(program, batch), total));
        },
      },
    };
  },
});
