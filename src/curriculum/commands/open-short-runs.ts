/**
 * What the sub-commands share that train shortly, many times: the model, groups with held-out rows, and how it is
 * trained.
 */
import type { Context } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { describeModel } from "../../run/open-model.ts";
import { HeldOut, type HeldOutGroup, heldOutGroups, readHeldOut, splitOf } from "../../run/training/held-out.ts";
import { type Choices, choose } from "../../run/training/optimizer-and-schedule.ts";
import { type Start, start } from "../../run/training/starting-model.ts";
import { humanBytes } from "../../text/format.ts";
import { checkHeldOutNames } from "../losses.ts";
import { curriculumObjective } from "../objective.ts";
import type { SHORT_RUNS } from "../options.ts";
import { readRows } from "../read-rows.ts";
import { measureRuns, type ShortRun } from "../short-runs.ts";
import type { Rows } from "../source.ts";

export type ShortRunContext = Context<typeof SHORT_RUNS>;

export interface OpenedRuns {
  readonly begun: Start;
  readonly rows: Rows;
  readonly heldOut: readonly HeldOutGroup[];
  readonly choices: Choices;
}

/** Bytes of a checkpoint's tensors as they are stored; 0 for a model made from a config. */
export const storedBytes = ({ read }: Start): number =>
  read.reduce(
    (sum, { checkpoint }) => sum + [...checkpoint.tensors.values()].reduce((all, { bytes }) => all + bytes, 0),
    0,
  );

/**
 * Opens the model and reads the rows; no weights. `what` is what needs them, for messages; `held`: whether every group
 * needs held-out rows, or any serve. Throws UserError.
 */
export async function openShortRuns(
  context: ShortRunContext,
  what: string,
  held: "every" | "any" = "every",
): Promise<OpenedRuns> {
  const { options, seed } = context;
  const split = splitOf(options, seed);
  const warn = (text: string) => context.warn(text);
  const begun = await start({
    ...options,
    model: context.args[0] ?? (options.init === undefined ? "-" : undefined),
    init: options.init,
    adapterType: context.picks.adapter[0],
    adapterInit: context.picks.adapter_init[0],
    seed,
    warn,
  });
  context.onExit(() => begun.close());
  const described = await describeModel(begun, options, warn);
  const rows = await readRows(options, { ...described, split });
  if (rows.names.length < 2) throw new UserError(`${what} needs two groups or more`, "give --data name=path for each");
  const evaluated = heldOutGroups(options, split);
  if (held === "every") checkHeldOutNames(evaluated, rows.names, what);
  else if (evaluated.length === 0)
    throw new UserError(`${what} needs held-out rows`, "give --eval-data held.jsonl, or --eval-split 0.1");
  const heldOut = await readHeldOut(evaluated, described, options.batch_size);
  return { begun, rows, heldOut, choices: choose(context.picks, options.lr) };
}

/**
 * Trains the model shortly on every run, from the same start; gives the held-out losses before and after, of the groups
 * `measured`, those of the data when left out.
 */
export async function measure(
  context: ShortRunContext,
  { begun, rows, heldOut, choices }: OpenedRuns,
  runs: readonly ShortRun[],
  measured = rows.names,
): Promise<{ start: number[]; after: number[][] }> {
  const { options, seed, signal, progress } = context;
  const model = await begun.load(await openGpu({ device: context.device }));
  const held = new HeldOut(model, heldOut);
  const objective = curriculumObjective({
    model,
    names: rows.names,
    taskLoss: options.task_loss ?? "token-mean",
    sampleWeight: "uniform",
    focus: options.focus,
    recompute: options.recompute,
    groupWeights: () => undefined,
  });
  progress.start({ total: runs.length, unit: "runs" });
  const losses = await measureRuns(
    {
      ref: begun.ref,
      names: measured,
      held,
      heldOut,
      training: {
        model,
        objective,
        seed,
        optimizer: choices.optimizer,
        decays: ({ shape }) => options.decay_all || shape.length > 1,
        clip: options.clip,
        stateDtype: options.state_dtype,
      },
      rate: choices.rate,
      signal,
      done: () => progress.advance(1),
    },
    runs,
  );
  progress.done();
  await held.free();
  return losses;
}

/** What would be run, for --dry-run. `more` is for --json alone. */
export function describeRuns(
  context: ShortRunContext,
  { begun, rows, heldOut }: OpenedRuns,
  { runs, steps, lengths, more }: { runs: number; steps: number; lengths: string; more: Record<string, unknown> },
): void {
  const { batch_size } = context.options;
  const count = (n: number) => n.toLocaleString("en-US");
  const held = heldOut.reduce((sum, { batches }) => sum + batches.reduce((all, batch) => all + batch.rows, 0), 0);
  const weights = storedBytes(begun);
  context.print(
    [
      `data: ${rows.counts.map(({ name, rows, tokens }) => `${name} ${count(rows)} rows, ${count(tokens)} tokens`).join("; ")}`,
      `${runs} runs ${lengths} of ${batch_size} rows: ${count(steps)} steps`,
      `${runs + 1} evaluations on ${count(held)} held-out rows`,
      ...(weights > 0 ? [`weights: ${humanBytes(weights)} as stored`] : []),
    ].join("\n"),
  );
  context.json({ groups: rows.counts, runs, ...more, held_out_rows: held, weights, steps, batch_size });
}
