/**
 * `train --supernet cikd`: a classifier of several tasks whose trunk and decoders each may be made narrower afterwards,
 * to trade what it costs and which task it serves (compress extract --prefer). Every step trains the widest setting of
 * widths, the narrowest and one more,
 *
 *   L = sum over settings of [ CE + lambda mean over stages |n(F_e) - sg n(F_max)|^2 ],  n(F) = F / |F| by row
 *
 * F are the features of the trunk's layers, those of a narrow trunk filled up with zeros. Aich et al., "Efficient
 * Controllable Multi-Task Architectures", ICCV 2023, https://arxiv.org/abs/2308.11744
 *
 * Settings are programs, so that the third one comes from a pool that is drawn once by the seed.
 */
import type { Batch } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { meanWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { sliceOf } from "../../model/structure/slice.ts";
import { Subnet, shapedModel } from "../../model/structure/subnet.ts";
import { type TaskWidths, taskUnits, trunkAndDecoders } from "../../model/structure/task-widths.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { unitRows } from "../../run/training/contrastive.ts";
import { crossEntropyObjective } from "../../run/training/cross-entropy.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { add, scale, stopGradient } from "../../tensor/ops/elementwise.ts";
import { pick } from "../../tensor/ops/pick.ts";
import { dot, mean } from "../../tensor/ops/reduce.ts";
import { rowDistance } from "../../tensor/ops/row-distance.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { TRAIN } from "../options.ts";
import { checkWidths, WIDTHS } from "./deps.ts";
import { refuseBeside } from "./refuse.ts";

/** The part of the objective that the widest setting is. */
const WIDEST = "widest";
const NARROWEST = "narrowest";

/** Settings besides the widest and the narrowest, by the seed alone; fewer where there are not so many. */
export function settingsOf(widths: readonly number[], tasks: number, count: number, seed: number): TaskWidths[] {
  const all = widths.length ** (tasks + 1);
  const random = new Random(seed, "settings");
  const found = new Map<string, TaskWidths>();
  const ends = [Math.max(...widths), Math.min(...widths)];
  for (let draw = 0; draw < 64 * count && found.size < Math.min(count, all - 2); draw++) {
    const own = Array.from({ length: tasks + 1 }, () => widths[random.below(widths.length)] ?? 1);
    const [trunk = 1, ...decoders] = own;
    if (!ends.some((end) => own.every((share) => share === end))) found.set(own.join(), { trunk, decoders });
  }
  return [...found.values()];
}

/** A setting of widths inside of the model. */
export async function settingInside(model: Model, ref: string, widths: TaskWidths): Promise<Subnet> {
  const whole = shapedModel(model, ref);
  return Subnet.make(model, sliceOf(whole, { units: taskUnits(whole, widths) }), ref);
}

/** Mean over the trunk's layers of |n(F) - sg n(F_max)|^2, of features that may be the first ones: (1). */
export function distance(rec: Recorder, own: Recorded["notes"], widest: Recorded["notes"]): Tensor {
  const stages = [...own.keys()].filter((name) => /^hidden\.[1-9]\d*$/.test(name));
  const each = stages.map((name) => {
    const [features, whole] = [own.get(name)!, widest.get(name)!];
    const [n, width] = [features.shape.at(-1)!, whole.shape.at(-1)!];
    const columns = Int32Array.from({ length: width }, (_, i) => (i < n ? i : -1));
    const filled = n === width ? features : pick(rec, features, { columns });
    return mean(rec, rowDistance(rec, unitRows(rec, filled), stopGradient(rec, unitRows(rec, whole)), "mse"));
  });
  return scale(
    rec,
    each.reduce((a, b) => add(rec, a, b)),
    1 / stages.length,
  );
}

interface CikdOptions {
  readonly inside: ReadonlyMap<string, Subnet>;
  readonly invariance: number;
  readonly seed: number;
}

/** The sum of the losses of three settings. */
export function cikdObjective(model: Model, { inside, invariance, seed }: CikdOptions): Objective<Batch> {
  const widest = crossEntropyObjective(model);
  const others = [...inside.keys()].filter((name) => name !== NARROWEST);
  let parts: readonly string[] = [WIDEST, NARROWEST];
  return {
    ...ofBatch<Batch>((batch) => batch),
    name: "widths of tasks",
    parts: [WIDEST, ...inside.keys()],
    begin(step) {
      const other = others[new Random(seed, "setting", step).below(Math.max(1, others.length))];
      parts = [WIDEST, NARROWEST, ...(other === undefined ? [] : [other])];
    },
    current: () => parts,

    record(rec, batch, part): RecordedLoss {
      const subnet = inside.get(part);
      if (!subnet) return widest.record(rec, batch, "");
      const inputs = recordInputs(rec, batch);
      const own = subnet.record(rec, inputs);
      const targets = recordTargets(rec, batch);
      const losses = crossEntropy(rec, own.head(own.hidden), targets);
      const weights = rec.input("weights", targets.shape);
      const name = part === NARROWEST ? "narrowest_loss" : "setting_loss";
      const metrics: Record<string, Tensor> = { [name]: dot(rec, losses, weights) };
      if (invariance === 0) return { backward: [[losses, weights]], metrics };
      const apart = distance(rec, own.notes, model.record(rec, inputs).notes);
      const seeds = rec.input("invariance", [1]);
      if (part === NARROWEST) metrics.invariance = apart;
      return {
        backward: [
          [losses, weights],
          [apart, seeds],
        ],
        metrics,
      };
    },

    fill(program, batch, total, part) {
      if (!inside.has(part)) {
        widest.fill(program, batch, total, "");
        return;
      }
      fillInputs(program, batch);
      program.write("weights", meanWeights(fillTargets(program, batch), total));
      if (program.takes("invariance"))
        program.write("invariance", Float32Array.of((invariance * batch.counted) / Math.max(1, total)));
    },
  };
}

/** Throws UserError for models and options that it is not for. */
export async function cikdWork(
  model: Model,
  options: Values<typeof TRAIN>,
  { ref, seed }: { readonly ref: string; readonly seed: number },
): Promise<{ readonly objective: Objective<Batch> }> {
  refuseBeside("--supernet cikd", model, options);
  const { tasks } = trunkAndDecoders(shapedModel(model, ref));
  const widths = options.widths ?? WIDTHS;
  checkWidths(widths);
  const [most, least] = [Math.max(...widths), Math.min(...widths)];
  if (most !== 1 || least === 1)
    throw new UserError(
      `--widths ${widths.join(",")}: the widest setting is the model itself`,
      "give 1 and smaller shares: 1,0.75,0.5",
    );
  const even = (share: number): TaskWidths => ({ trunk: share, decoders: Array.from({ length: tasks }, () => share) });
  const inside = new Map([[NARROWEST, await settingInside(model, ref, even(least))]]);
  for (const setting of settingsOf(widths, tasks, options.supernet_settings, seed))
    inside.set([setting.trunk, ...setting.decoders].join(" "), await settingInside(model, ref, setting));
  return { objective: cikdObjective(model, { inside, invariance: options.supernet_invariance, seed }) };
}
