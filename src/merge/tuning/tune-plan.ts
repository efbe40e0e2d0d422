import { UserError } from "../../errors.ts";
import type { MergePlan } from "../plan/merge-plan.ts";
import { learn, TaskLosses } from "./learn.ts";
import { makeReady } from "./ready.ts";
import { modelsOf, subjectOf, type TuneRun, tableOf, withCoefficients } from "./subject.ts";
import { type CoefficientTable, lossEnds, readTable } from "./table.ts";

export interface Tuned {
  readonly plan: MergePlan;
  readonly table: CoefficientTable;
}

/** Learns. Throws UserError for data or models that do not fit, and (exit 1) for a loss that is not finite. */
export async function tunePlan(run: TuneRun): Promise<Tuned> {
  const subject = subjectOf(run);
  const { tuning, groups, columns, free } = subject;
  const { tune, method } = run;
  const steps = tune.steps ?? tuning.steps;
  if (tune.table !== undefined) {
    const values = readTable(tune.table, method.name, groups, modelsOf(run, columns));
    return { plan: withCoefficients(run.plan, subject, values), table: tableOf(run, subject, values, 0) };
  }
  if (steps > 0 && tune.data.length === 0)
    throw new UserError(
      `${method.name} learns its coefficients from data`,
      "give --tune-data NAME=FILE once for each task, or --tune-steps 0 for a merge as it would begin",
    );
  if (steps === 0) {
    const values = free.coefficients(free.start);
    return { plan: withCoefficients(run.plan, subject, values), table: tableOf(run, subject, values, 0) };
  }
  const gpu = await run.openGpu();
  const ready = await makeReady(gpu, run, subject);
  try {
    const { coefficients, losses } = await learn({
      ...ready,
      ...{ gpu, steps, rate: tune.rate ?? tuning.rate, descent: tuning.descent, over: tuning.over },
      pareto: tune.weights === "pareto",
      ...{ seed: run.settings.seed, signal: run.signal, ...(run.done && { done: run.done }) },
    });
    const names = ready.tasks.map(({ name }) => name);
    const values = coefficients.subarray(0, groups.length * columns.count);
    const ends = lossEnds(names, losses);
    const table = { ...tableOf(run, subject, values, steps), ...(ends && { loss: ends }) };
    return { plan: withCoefficients(run.plan, subject, values), table };
  } finally {
    await ready.close();
  }
}

/**
 * Loss and gradient of the numbers that are learnt at several points, over the first batch of every task. `moves`: a
 * point each, from where learning begins.
 */
export async function lossesAt(
  run: TuneRun,
  moves: readonly ((start: Float64Array) => Float64Array)[],
): Promise<{ loss: number; gradient: Float64Array }[]> {
  const subject = subjectOf(run);
  const { over } = subject.tuning;
  const gpu = await run.openGpu();
  const ready = await makeReady(gpu, run, subject);
  const { free, weights, tasks } = ready;
  const passes = new TaskLosses({ ...ready, gpu, seed: run.settings.seed });
  try {
    const batches = await Promise.all(tasks.map(async ({ source }) => (await source.next()).batch));
    const found: { loss: number; gradient: Float64Array }[] = [];
    for (const move of moves) {
      const point = move(free.start);
      await weights.refresh(free.coefficients(point));
      const { losses, gradient } = await passes.together(batches, 0);
      const share = over === "mean" ? 1 / losses.length : 1;
      const loss = share * losses.reduce((a, b) => a + b, 0) + (free.penalty?.(point) ?? 0);
      const scaled = gradient.map((value) => share * value);
      found.push({ loss, gradient: free.back(point, scaled) });
    }
    return found;
  } finally {
    passes.free();
    await ready.close();
  }
}

/** GPU memory that learning takes, found out on a device that computes nothing. */
export async function plannedTuning(run: TuneRun): Promise<number> {
  const subject = subjectOf(run);
  const gpu = await run.openGpu();
  const ready = await makeReady(gpu, run, subject);
  const passes = new TaskLosses({ ...ready, gpu, seed: 0 });
  await passes.prepare();
  for (const parameter of ready.parameters) void parameter.gradient;
  const bytes = gpu.pool.allocated + ready.weights.inputBytes + ready.weights.workBytes;
  passes.free();
  await ready.close();
  return bytes;
}
