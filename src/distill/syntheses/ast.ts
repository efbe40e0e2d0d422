/**
 * Alignment with smooth and high-quality expert trajectories: matching of trajectories (mtt) of which
 *
 *   experts begin slowly, the loss times 0.5, 0.55 .. 0.95 in the first ten epochs, and pay for steep gradients by rows
 *   rows    begin as those nearest to the centres of their class in the experts' logits
 *   steps   begin at the expert's weights times 1 + alpha noise / |noise|, have momentum 0.9, and their loss is larger
 *           where they begin late: times log_5(e - E/2 + 8) from the middle of the E epochs on, over log_5(E/2 - e + 8)
 *           before
 *   loss    is the mean over the M epochs on the way, each at its share of the steps, so that it stays 1 at a rate of 0
 *
 * Shen et al. 2023, https://arxiv.org/abs/2310.10541
 */
import { Random } from "../../data/random.ts";
import { freshWeights, type Network, trainable } from "../../run/twice/network.ts";
import { constant } from "../../tensor/twice/value.ts";
import { representatives } from "../data/clusters.ts";
import { type RealRows, synthesisMethod } from "../data/contract.ts";
import { type Path, weightsWith } from "../data/experts.ts";
import { checkMatching, MATCHING, matched, rowsByClass } from "../data/matching.ts";

/** Factor of an expert's loss in an epoch. */
export const clipping = (epoch: number): number => (epoch < 10 ? 0.5 + 0.05 * epoch : 1);

/** Factor of the loss of steps that begin at an epoch of so many. */
export const balance = (epoch: number, epochs: number): number => {
  const [late, log] = [epoch - epochs / 2, (x: number) => Math.log(x) / Math.log(5)];
  return late >= 0 ? log(late + 8) : 1 / log(8 - late);
};

/** w + alpha (noise / |noise|) w for matrices; vectors stay. */
export function perturbed(w: Float64Array, shape: readonly number[], alpha: number, ...key: (string | number)[]) {
  if (shape.length < 2 || alpha === 0) return w;
  const random = new Random(...key);
  const noise = w.map(() => random.normal());
  const norm = Math.sqrt(noise.reduce((sum, x) => sum + x * x, 0));
  return w.map((value, i) => value * (1 + (alpha * noise[i]!) / norm));
}

/** The real rows that stand for their class by the logits that an expert ends with. */
function middleRows(network: Network, rows: RealRows, path: Path, perClass: number, seed: number): number[] {
  const rest = freshWeights(network, seed);
  const last = path.at(-1)!.map((w, i) => constant(w, trainable(network)[i]!.shape));
  const shaped = weightsWith(network, last, rest);
  const x = constant(rows.x, [rows.labels.length, network.inputs]);
  const { data } = network.logits(shaped, x, { norms: "batch" });
  const { classes } = network;
  return rowsByClass(rows, classes, perClass).flatMap((own, label) => {
    const points = own.map((row) => data.slice(row * classes, (row + 1) * classes));
    return representatives(points, perClass, seed, "centres", label).map((i) => own[i]!);
  });
}

export const method = synthesisMethod({
  name: "ast",
  title: "Smooth expert trajectories",
  about: "mtt with experts that are smooth on purpose, and rows that begin in the middle of their class",
  cite: "arXiv:2310.10541",
  model: "config",
  rows: "needed",
  steps: 200,
  options: {
    ...MATCHING,
    // Momentum makes steps ten times as long.
    inner_lr: { ...MATCHING.inner_lr, default: 0.02 },
    inner_lr_lr: { ...MATCHING.inner_lr_lr, default: 1e-4 },
    penalty: { type: "number >= 0", default: 1, help: "weight of the experts' gradient penalty", value: "W" },
    perturb: { type: "number >= 0", default: 1, help: "alpha of the noise of weights that steps begin at", value: "A" },
    inner_momentum: { type: "0 <= number < 1", default: 0.9, help: "momentum of steps on synthetic rows", value: "M" },
  },
  check: (values) => checkMatching(values),
  make(setting) {
    const { values, network, perClass, seed } = setting;
    return matched(setting, {
      smoothing: { factor: clipping, penalty: values.penalty },
      momentum: values.inner_momentum,
      between: true,
      first: (paths) => middleRows(network, setting.rows!, paths[0]!, perClass, seed),
      begin: (weights, shape, key) => perturbed(weights, shape, values.perturb, seed, "perturb", key),
      factor: (epoch) => balance(epoch, values.start_epochs),
    });
  },
});
