/**
 * Preference hull: a model for any preference over tasks, out of what was learnt of each, without training: the convex
 * combination of their posteriors' means, or with `sample` a model drawn from the likely region around it.
 *
 * Lu et al. (IBCL), https://arxiv.org/abs/2305.14782. Every model is the mean of a Gaussian over the weights; a task
 * may have several, which then share its preference. Standard deviations are averaged, as in the authors' code, not
 * variances. `stats` has them (`stats_are: sigma`), or each model's Fisher information F over `rows` rows, of which
 * sigma = 1 / sqrt(rows F + 1 / prior^2). The region of `mass` m is mu +- z sigma, z = Phi^-1((1 + m) / 2), value by
 * value; a value is drawn evenly from it. The paper's training of posteriors, and its store of them, are not part of
 * the method.
 */
import { UserError } from "../../../errors.ts";
import { type MergeValues, mergeMethod } from "../../contract.ts";
import { type ExtraCheckpoints, loadExtra, openExtraCheckpoints } from "../../job/extra-checkpoints.ts";
import { randomKey } from "../../job/random-key.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import { normalQuantile } from "../../updates/normal-quantile.ts";

const options = {
  pref: {
    type: "number >= 0",
    per: "model",
    default: 1,
    help: "preference of each model; they are divided by their sum",
  },
  sample: { type: "boolean", default: false, help: "draw the model from the likely region, by --seed" },
  mass: {
    type: "0 <= number < 1",
    default: 0.9,
    with: { sample: "true" },
    help: "with sample: probability of the region, value by value",
  },
  stats: {
    type: "string",
    per: "model",
    value: "FILE",
    names: "own-checkpoint",
    with: { sample: "true" },
    help: "with sample: the model's Fisher information or standard deviations, as a checkpoint",
  },
  stats_are: { type: "'fisher' | 'sigma'", default: "fisher", with: { sample: "true" }, help: "what stats hold" },
  rows: {
    type: "number > 0",
    per: "model",
    default: 1,
    with: { sample: "true" },
    help: "rows that each Fisher information stands for",
  },
  prior: {
    type: "number > 0",
    default: 0.25,
    with: { sample: "true" },
    help: "standard deviation of the weights before any row",
  },
} as const;

type Inputs = TensorInputs<MergeValues<typeof options>>;

/** The statistics of every model of a tensor. */
function filesOf({ name, values }: Inputs): string[] {
  const files = values.stats.filter((file) => file !== undefined);
  if (files.length === values.stats.length) return files;
  throw new UserError(
    `${name}: sample needs stats of every model`,
    "write them by ingot evaluate --probe fisher --fisher-save FILE; then give --stats FILE,FILE",
  );
}

/** Opens the statistics where models are drawn. */
async function survey(tensors: readonly Inputs[]): Promise<ExtraCheckpoints | undefined> {
  const drawn = tensors.filter(({ values }) => values.sample);
  if (drawn.length === 0) return undefined;
  return openExtraCheckpoints(
    drawn.flatMap((inputs) => filesOf(inputs)),
    "statistics",
  );
}

export const method = mergeMethod({
  name: "pref_hull",
  title: "Preference hull",
  about: "a model for a preference over tasks: the mean of their posteriors, or drawn from around it",
  cite: "arXiv:2305.14782",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "knows no base",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "none",
  heights: "equal",
  passes: "one",
  options,
  survey,

  /** One pass; with `sample` one over the statistics too. */
  async merge(job) {
    const { pref, sample, mass, stats_are, rows, prior } = job.values;
    const total = pref.reduce((a, b) => a + b, 0);
    if (total === 0) throw new UserError(`${job.name}: the preferences sum to 0`, "give one that is larger");
    if (!sample) return job.combine(pref, { divisor: total });
    const entries = filesOf(job).map((ref, k) => job.survey!.find(job, k, ref));
    const found = entries.filter((entry) => entry !== undefined);
    if (found.length < entries.length) {
      job.settings.remark?.("the mean, since not every model has statistics of it", job.name);
      return job.combine(pref, { divisor: total });
    }
    const shares = job.constants(new Float32Array(pref.flatMap((w, k) => [w / total, rows[k]!])), "shares");
    const [key_x, key_y] = randomKey(job.settings.seed, job.streamName, 0);
    await job.emit(async (chunk, result, out) => {
      using side = await loadExtra(job, chunk, found);
      const flags = job.flags(...(stats_are === "fisher" ? ["fisher"] : []), ...out);
      await job.run("merge/pref-hull", { flags }, chunk, {
        bind: { stack: chunk.stack, statistics: side.buffer, models: shares, result },
        params: {
          ...{ n4: chunk.n4, pitch: chunk.pitch, statistics_pitch: side.pitch, k: job.count, start: chunk.start },
          ...{ key_x, key_y, inverse_prior: 1 / prior ** 2, z: normalQuantile((1 + mass) / 2) },
        },
      });
    });
  },
});
