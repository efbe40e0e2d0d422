/**
 * `train --prune polarize`: units of a model get gates that each input opens or closes, and the gates learn to agree on
 * all inputs, so that in the end closed units are left out and the gates thrown away.
 *
 *   p_u     mean over the rows of the gate of unit u
 *   L       CE + a ( mean_u p_u (1 - p_u) ) + b ( sum_u c_u p_u / sum_u c_u - keep )^2
 *
 * c_u are the weights that a unit has. The first term is 0 where every gate says one thing to all rows; its weight
 * rises in a line over the first fifth of the steps. The result has the units that are open on at least half of the
 * training rows. Where config.json has one number for all blocks, blocks with fewer open units are filled up with units
 * that are read by zeros. "Learning a Consensus Sub-Network with Polarization Regularization and One Pass Training",
 * 2023, https://arxiv.org/abs/2302.10798. The networks' width, the ramp and the weights' values are this toolkit's.
 */
import { type Batch, batchKey } from "../../data/batch.ts";
import { groupsOf } from "../../data/groups.ts";
import { meanWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Inputs } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import { anatomyOf } from "../../model/structure/anatomy.ts";
import { type Kept, sliceOf, withReaders } from "../../model/structure/slice.ts";
import { shapedModel } from "../../model/structure/subnet.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { Programs } from "../../run/programs.ts";
import type { OwnLoss } from "../../run/training/label-loss.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import { loadSmaller, type SmallerResult } from "../../run/training/smaller-result.ts";
import type { Built } from "../../run/training/technique.ts";
import { joinColumns } from "../../tensor/ops/columns.ts";
import { correctRows } from "../../tensor/ops/correct.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { addScalar, mul, scale, square, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import { dot, mean } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import type { TRAIN } from "../options.ts";
import { type GatedUnit, type GateGroup, Gates, type RecordedGates } from "./gates.ts";
import { refuseBeside } from "./refuse.ts";

type Options = Values<typeof TRAIN>;

/** Share of the steps over which the weight of agreement rises. */
const RAMP = 0.2;

/** A mean over rows is 0 or 1 but for what rounding adds. */
const EVEN = 1e-4;

/** Mean over the rows of each gate of a group: (units). `shares` (rows, 1) sum to 1; even where left out. */
function openShares(rec: Recorder, gates: Tensor, shares: Tensor | undefined): Tensor {
  const { rows, width } = rowsOf(gates);
  const weighed = shares && rowsOf(shares).rows === rows ? mul(rec, gates, shares) : scale(rec, gates, 1 / rows);
  return sumTo(rec, weighed, [1, width]);
}

/** The terms of gates, (1) each: how far they disagree, and how far their cost is from what is to stay. */
export function gateTerms(
  rec: Recorder,
  shares: readonly { readonly group: GateGroup; readonly p: Tensor }[],
  keep: number,
): { readonly disagreement: Tensor; readonly budget: Tensor; readonly open: Tensor } {
  const total = shares.reduce((sum, { group }) => sum + group.cost * group.units, 0);
  const p = joinColumns(
    rec,
    shares.map((one) => one.p),
  ); // (1, units)
  const disagreement = mean(rec, sub(rec, p, square(rec, p)));
  const costs = shares.flatMap(({ group }) => Array.from({ length: group.units }, () => group.cost / total));
  const open = dot(rec, p, rec.constant(Float32Array.from(costs), p.shape, "costs"));
  return { disagreement, open, budget: square(rec, addScalar(rec, open, -keep)) };
}

/** Gates that a pass recorded, as means over its rows. */
function sharesOf(rec: Recorder, gates: Gates, recorded: RecordedGates, inputs: Inputs) {
  const shares = "ids" in inputs ? inputs.tokenShares?.() : undefined;
  return gates.groups.flatMap((group) => {
    const own = recorded.get(group.id);
    return own ? [{ group, p: openShares(rec, own, shares) }] : [];
  });
}

/** Cross-entropy of a model behind gates, with the terms of the gates. */
export function polarizeObjective(
  model: Model,
  gates: Gates,
  { keep, polarize, budget: weightOfBudget, steps }: { keep: number; polarize: number; budget: number; steps: number },
): Objective<Batch> {
  let now = 1;
  return {
    ...ofBatch<Batch>((batch) => batch),
    name: "polarized gates",
    begin(step) {
      now = step;
    },

    record(rec, batch): RecordedLoss {
      const inputs = recordInputs(rec, batch);
      const { options, gates: recorded } = gates.through(rec, inputs);
      const { hidden, head } = model.record(rec, inputs, { ...options, statistics: "batch" });
      const targets = recordTargets(rec, batch);
      // A perceptron's head reads units that have gates.
      const logits = model.task === "causal-lm" ? undefined : head(hidden);
      const losses = logits
        ? crossEntropy(rec, logits, targets)
        : headLoss(rec, { hidden, head, width: model.sizes.outputs, targets });
      const weights = rec.input("weights", targets.shape);
      const terms = gateTerms(rec, sharesOf(rec, gates, recorded, inputs), keep);
      return {
        backward: [
          [losses, weights],
          [terms.disagreement, rec.input("agreement", [1])],
          [terms.budget, rec.input("budget", [1])],
        ],
        metrics: {
          loss: dot(rec, losses, weights),
          ...(logits ? { accuracy: dot(rec, correctRows(rec, logits, targets), weights) } : {}),
          ...{ disagreement: terms.disagreement, open_share: terms.open },
        },
      };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      program.write("weights", meanWeights(fillTargets(program, batch), total));
      const share = total > 0 ? batch.counted / total : 0;
      const write = (name: string, x: number) => program.takes(name) && program.write(name, Float32Array.of(share * x));
      write("agreement", polarize * Math.min(1, (now - 1) / Math.max(1, RAMP * steps)));
      write("budget", weightOfBudget);
    },
  };
}

/** By group, the share of rows on which each unit is open. */
export async function openUnits(
  model: Model,
  gates: Gates,
  batches: readonly Batch[],
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, Float64Array>> {
  const sums = new Map(gates.groups.map(({ id, units }) => [id, new Float64Array(units)]));
  const programs = new Programs(model.gpu);
  let all = 0;
  try {
    for (const batch of batches) {
      signal?.throwIfAborted();
      const { program } = await programs.get(batchKey(batch), (rec) => {
        const inputs = recordInputs(rec, batch);
        const { options, gates: recorded } = gates.through(rec, inputs);
        const { hidden, head } = model.record(rec, inputs, options);
        rec.output("end", model.task === "causal-lm" ? hidden : head(hidden));
        for (const { group, p } of sharesOf(rec, gates, recorded, inputs)) rec.output(`open ${group.id}`, p);
      });
      fillInputs(program, batch);
      program.run();
      all += batch.rows;
      for (const [id, own] of sums)
        for (const [unit, p] of (await program.read(`open ${id}`)).entries()) own[unit]! += batch.rows * p;
    }
  } finally {
    programs.free();
  }
  for (const own of sums.values()) for (const [unit, sum] of own.entries()) own[unit] = sum / Math.max(1, all);
  return sums;
}

/** Whether config.json has one number for the blocks of a model, so that all keep as many of these units. */
const isEven = (model: Model, unit: GatedUnit): boolean =>
  unit === "head" ? !/^(gpt2|vit)$/.test(model.architecture.name) : !/^mlp/.test(model.architecture.name);

/** What stays: units that are open on at least half of the rows. */
export function keptUnits(model: Model, ref: string, gates: Gates, open: ReadonlyMap<string, Float64Array>): Kept {
  const by = [...open].map(([id, p]) => {
    const order = Array.from(p.keys()).sort((a, b) => p[b]! - p[a]! || a - b);
    return { id, p, order, count: p.filter((x) => x >= 0.5).length };
  });
  if (gates.unit === "layer") {
    const stays = by.filter(({ count }) => count > 0);
    const [likeliest] = [...by].sort((a, b) => b.p[0]! - a.p[0]!);
    const layers = (stays.length > 0 ? stays : likeliest ? [likeliest] : []).map(({ id }) => Number(id));
    return { units: new Map(), layers: layers.sort((a, b) => a - b) };
  }
  const most = Math.max(1, ...by.map(({ count }) => count));
  const [units, silent] = [new Map<string, Int32Array>(), new Map<string, Int32Array>()];
  for (const { id, order, count } of by) {
    const left = isEven(model, gates.unit) ? most : Math.max(1, count);
    const sorted = (places: readonly number[]) => Int32Array.from(places).sort();
    if (left < order.length) units.set(id, sorted(order.slice(0, left)));
    if (count < left) silent.set(id, sorted(order.slice(count, left)));
  }
  const anatomy = anatomyOf(shapedModel(model, ref));
  return { units: withReaders(units, anatomy), silent: withReaders(silent, anatomy) };
}

/** What `--prune` brings to a training: gates beside the model, and in the end the smaller model. */
export interface PruneWork extends OwnLoss {
  readonly told: () => Readonly<Record<string, number>>;
  readonly result: (files: ReadonlyMap<string, Uint8Array>) => Promise<SmallerResult>;
}

/** Throws UserError for models and options that it is not for. */
export function pruneWork(
  built: Pick<Built, "model" | "ref" | "steps" | "tools" | "examples">,
  options: Options,
  { seed, out }: { readonly seed: number; readonly out: string },
): PruneWork {
  const { model, ref, steps } = built;
  refuseBeside("--prune polarize", model, options);
  const other = [
    options.best !== undefined && "--best writes the model as it is trained",
    out === "-" && "the header of a stream is written before",
    options.data?.some((row) => /(^|=)-$/.test(row)) && "rows from stdin are read once",
    model.carried.entries.length > 0 && `${ref} has other parts`,
  ].find((text) => text);
  if (other)
    throw new UserError(
      `--prune polarize knows in the end what is left, by the training rows; ${other}`,
      "write to a folder or a file, from rows in files",
    );
  const gates = new Gates(model, ref, options.prune_unit, seed);
  const { prune_keep: keep, prune_polarize: polarize, prune_budget: budget } = options;
  const told: Record<string, number> = {};
  return {
    objective: polarizeObjective(model, gates, { keep, polarize, budget, steps }),
    extra: gates.parameters,
    told: () => told,
    async result(files) {
      const rows = await readBatches(groupsOf(options.data, "--data", options.columns), built, options.batch_size);
      const open = await openUnits(model, gates, rows.batches);
      const all = [...open.values()].flatMap((p) => [...p]);
      told.units = all.length;
      told.units_kept = all.filter((p) => p >= 0.5).length;
      told.units_undecided = all.filter((p) => p > EVEN && p < 1 - EVEN).length;
      const whole = shapedModel(model, ref);
      return loadSmaller(model, sliceOf(whole, keptUnits(model, ref, gates, open)), { ref, files });
    },
  };
}
