/**
 * `train --supernet deps`: smaller models inside of a model are trained along, so that each of them works when it is
 * cut out (compress extract). A smaller one has the first units of every block, and the first blocks.
 *
 *   step n of the first F N      the whole model alone
 *   afterwards                   G = grad CE(whole) + e_n sum over s of grad KL(sg softmax z_whole || softmax z_s)
 *
 * over the smallest model and others that are drawn for the step; e rises in a line. They learn from the whole model as
 * it is at the step. Annavajjala et al., "DepS: Delayed epsilon-Shrinking for Faster Once-For-All Training", ECCV 2024.
 * The ramp's length and both ends of e are this toolkit's.
 *
 * A smaller model is a program of its own: it takes parts of the weights and computes what the smaller checkpoint does.
 * Each program records the whole model's pass once more, without a way back.
 */
import type { Batch } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { meanWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { anatomyOf } from "../../model/structure/anatomy.ts";
import { firstUnits } from "../../model/structure/first-units.ts";
import { sliceOf } from "../../model/structure/slice.ts";
import { Subnet, shapedModel } from "../../model/structure/subnet.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { crossEntropyObjective } from "../../run/training/cross-entropy.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { chunkedHead } from "../../tensor/ops/head-loss.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { TRAIN } from "../options.ts";
import { refuseBeside } from "./refuse.ts";

/** The part of the objective that the whole model is. */
const WHOLE = "whole";

/** A smaller model, and what it is called: `0.5x2` has half of the units and two blocks. */
export interface NamedSubnet {
  readonly name: string;
  readonly share: number;
  readonly subnet: Subnet;
}

export const WIDTHS = [1, 0.75, 0.5];

/** Throws UserError for shares that are none. */
export function checkWidths(widths: readonly number[]): void {
  const odd = widths.find((share) => !(share > 0 && share <= 1));
  if (odd !== undefined || widths.length === 0)
    throw new UserError(`--widths ${widths.join(",")}: expected shares above 0, up to 1`, "for example 1,0.75,0.5");
}

/** All combinations of widths and depths but the whole model, the smallest first. Throws UserError. */
export async function smallerModels(
  model: Model,
  ref: string,
  widths: readonly number[],
  depths: readonly number[] | undefined,
): Promise<NamedSubnet[]> {
  checkWidths(widths);
  const whole = shapedModel(model, ref);
  const { layers } = model.sizes;
  const odd = depths?.find((depth) => !(Number.isInteger(depth) && depth >= 1 && depth <= layers));
  if (odd !== undefined)
    throw new UserError(`--depths ${odd}: ${ref} has ${layers} blocks`, `give numbers from 1 to ${layers}`);
  const anatomy = anatomyOf(whole);
  const found: NamedSubnet[] = [];
  const sorted = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
  for (const share of sorted(widths))
    for (const depth of depths ? sorted(depths) : [undefined]) {
      if (share === 1 && (depth ?? layers) === layers) continue;
      const slice = sliceOf(whole, firstUnits(anatomy, share, depth), anatomy);
      const name = depth === undefined ? `${share}` : `${share}x${depth}`;
      found.push({ name, share, subnet: await Subnet.make(model, slice, `${name} of ${ref}`) });
    }
  if (found.length === 0)
    throw new UserError("--widths and --depths leave the whole model alone", "name smaller ones: --widths 1,0.5");
  return found;
}

type Course = Pick<Values<typeof TRAIN>, "supernet_warmup" | "supernet_begin" | "supernet_weight" | "supernet_ramp">;

/** The weight of smaller models at a step, from 1; undefined while the whole model is trained alone. */
export function weightAt(course: Course, step: number, steps: number): number | undefined {
  const { supernet_warmup: warmup, supernet_begin: begin, supernet_weight: top, supernet_ramp: ramp } = course;
  const past = step - 1 - warmup * steps;
  if (past < 0 || warmup === 1) return undefined;
  return begin + (top - begin) * Math.min(1, past / Math.max(1, ramp * (1 - warmup) * steps));
}

/** Names of the smaller models of a step: the first, and others by chance. */
export function drawn(names: readonly string[], count: number, seed: number, step: number): string[] {
  const [smallest, ...others] = names;
  const random = new Random(seed, "supernet", step);
  return [...(smallest === undefined ? [] : [smallest]), ...random.shuffled(others).slice(0, count - 1)];
}

/** KL of a smaller model's answers from the whole model's, which take no gradient. (N) by token. */
function recordSmaller(model: Model, { subnet }: NamedSubnet): Objective<Batch>["record"] {
  return (rec, batch) => {
    const inputs = recordInputs(rec, batch);
    const whole = model.record(rec, inputs);
    const small = subnet.record(rec, inputs);
    const targets = recordTargets(rec, batch);
    const losses = chunkedHead(rec, {
      hidden: small.hidden,
      head: small.head,
      width: model.sizes.outputs,
      along: [stopGradient(rec, whole.hidden), targets],
      loss(logits, [hidden, labels]) {
        const teacher = stopGradient(rec, whole.head(hidden!));
        return divergence(rec, logits, teacher, labels!, { kind: "forward-kl" });
      },
    });
    const [weights, seeds] = [rec.input("weights", targets.shape), rec.input("seeds", targets.shape)];
    return { backward: [[losses, seeds]], metrics: { smaller_kl: dot(rec, losses, weights) } } satisfies RecordedLoss;
  };
}

export interface DepsOptions {
  readonly smaller: readonly NamedSubnet[];
  readonly course: Course;
  readonly nets: number;
  readonly steps: number;
  readonly seed: number;
}

/** Cross-entropy of the whole model, and what smaller ones learn from it. */
export function depsObjective(model: Model, { smaller, course, nets, steps, seed }: DepsOptions): Objective<Batch> {
  const whole = crossEntropyObjective(model);
  const byName = new Map(smaller.map((one) => [one.name, one]));
  let [weight, parts]: [number, readonly string[]] = [0, [WHOLE]];
  return {
    ...ofBatch<Batch>((batch) => batch),
    name: "smaller models",
    parts: [WHOLE, ...byName.keys()],
    begin(step) {
      const own = weightAt(course, step, steps);
      weight = own ?? 0;
      parts = own === undefined ? [WHOLE] : [WHOLE, ...drawn([...byName.keys()], nets, seed, step)];
    },
    current: () => parts,

    record(rec, batch, part) {
      const own = byName.get(part);
      return own ? recordSmaller(model, own)(rec, batch, part) : whole.record(rec, batch, "");
    },

    fill(program, batch, total, part) {
      if (!byName.has(part)) {
        whole.fill(program, batch, total, "");
        return;
      }
      fillInputs(program, batch);
      const weights = meanWeights(fillTargets(program, batch), total);
      program.write("weights", weights);
      program.write(
        "seeds",
        weights.map((x) => x * weight),
      );
    },
  };
}

/** Throws UserError for models and options that it is not for. */
export async function depsWork(
  model: Model,
  options: Values<typeof TRAIN>,
  { ref, steps, seed }: { readonly ref: string; readonly steps: number; readonly seed: number },
): Promise<{ readonly objective: Objective<Batch> }> {
  refuseBeside("--supernet deps", model, options);
  if (model.running().length > 0)
    throw new UserError(
      `${ref} has batch norms, whose statistics are those of one width`,
      "train a model without hidden_norm",
    );
  const smaller = await smallerModels(model, ref, options.widths ?? WIDTHS, options.depths);
  const nets = options.supernet_nets;
  return { objective: depsObjective(model, { smaller, course: options, nets, steps, seed }) };
}
