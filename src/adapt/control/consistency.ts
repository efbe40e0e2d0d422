/**
 * Noise consistency training: a one-step generator f of noise, frozen, learns to obey a control c by an adapter, from
 * noise alone. A row of the generator's own and what a classifier R says of it are a pair, x = f(z) and c = R(x); noise
 * that is coupled with it fades into noise that is not,
 *
 *   z_t = sqrt(1 - t^2) z + t e,   which stays normal;  t_0 = 0, ..., t_N-1 = 1
 *
 *   L = mean over n of d( f(z_{n+1}, c), sg f(z_n, c) ) + lambda_b d( f(z, c), x ) + lambda_r CE( R(f(z_{n+1}, c)), c )
 *
 * "Noise Consistency Training", 2025, https://arxiv.org/abs/2506.19741. Levels are evenly spaced in t, n is uniform.
 */
import type { Model } from "../../model/model.ts";
import { apart, weighed } from "../../run/denoising/consistency.ts";
import { normals, StepDraws } from "../../run/denoising/draws.ts";
import type { NoiseBatch } from "../../run/denoising/noise-source.ts";
import { denoised, fixedLevel, noiseSizes, valuesOf } from "../../run/denoising/noised.ts";
import type { Objective, RecordedLoss } from "../../run/training/objective.ts";
import { addScalar, exp, isPositive, log, mul, scale, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { mean, rowMax, rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** What counts as no difference from the largest logit. */
const TIE = 1e-12;

export interface NctOptions {
  readonly levels: number;
  readonly boundary: number;
  readonly classifierWeight: number;
  readonly metric: "pseudo-huber" | "l2";
  readonly seed: number;
}

/** Logits (B, K) less the largest of each row, which takes no gradient. */
function below(rec: Recorder, logits: Tensor): Tensor {
  return sub(rec, logits, rec.reshape(stopGradient(rec, rowMax(rec, logits)), [logits.shape[0] ?? 0, 1]));
}

/** What a classifier says of rows (B, D): logits (B, K). */
function classes(rec: Recorder, classifier: Model, x: Tensor): Tensor {
  const { hidden, head } = classifier.record(rec, { batch: x.shape[0] ?? 0, x });
  return head(hidden);
}

/** One step's generator: noise (B, D) to rows (B, D), under a control (B, K) where one is asked for. */
export function generated(rec: Recorder, model: Model, z: Tensor, control?: Tensor): Tensor {
  const { high } = noiseSizes(model);
  const none = model.sizes.outputs;
  const rows = z.shape[0] ?? 0;
  const label = none > 0 ? rec.constant(new Int32Array(rows).fill(none), [rows], "no class") : undefined;
  const noise = fixedLevel(rec, model, high, label);
  return denoised(rec, model, { x: scale(rec, z, high), noise, control });
}

/** The objective of the adapter of `model`; `classifier` is R. Both but for the adapter are frozen. */
export function nctObjective(
  model: Model,
  classifier: Model,
  { levels, boundary, classifierWeight, metric, seed }: NctOptions,
): Objective<NoiseBatch> {
  const width = valuesOf(model);
  const draws = new StepDraws(seed, "nct");
  return {
    name: "nct",
    key: ({ rows }) => `${rows}`,
    counted: ({ rows }) => rows,
    size: ({ rows }) => rows,
    begin: (step) => draws.begin(step),

    record(rec, { rows }): RecordedLoss {
      const noise = (name: string) => rec.input(name, [rows, width]);
      const z = noise("z");
      const row = stopGradient(rec, generated(rec, model, z));
      const said = stopGradient(rec, below(rec, classes(rec, classifier, row)));
      const control = isPositive(rec, addScalar(rec, said, TIE)); // 1 at the largest
      const above = generated(rec, model, noise("further"), control);
      const nearer = stopGradient(rec, generated(rec, model, noise("nearer"), control));
      const consistency = mean(rec, apart(rec, [above, nearer], { metric }));
      const own = mean(rec, apart(rec, [generated(rec, model, z, control), row], { metric }));
      const logits = below(rec, classes(rec, classifier, above));
      const picked = rowSum(rec, mul(rec, logits, control));
      const missed = mean(rec, sub(rec, log(rec, rowSum(rec, exp(rec, logits))), picked));
      const loss = weighed(rec, [
        [1, consistency],
        [boundary, own],
        [classifierWeight, missed],
      ]);
      return {
        backward: [[loss, rec.constant(Float32Array.of(1), [1], "one")]],
        metrics: { loss, consistency, boundary: own, control_loss: missed },
      };
    },

    fill(program, { rows }) {
      const random = draws.next();
      const [z, other] = [normals(random, rows * width), normals(random, rows * width)];
      const places = Array.from({ length: rows }, () => random.below(levels - 1));
      const at = (by: number) =>
        z.map((value, i) => {
          const t = (places[Math.floor(i / width)]! + by) / (levels - 1);
          return Math.sqrt(1 - t * t) * value + t * other[i]!;
        });
      program.write("z", z);
      program.write("nearer", at(0));
      program.write("further", at(1));
    },
  };
}
