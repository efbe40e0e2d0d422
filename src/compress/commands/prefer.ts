/** `compress extract --prefer`: widths of a classifier of several tasks, by what counts and what may be spent. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { Context } from "../../cli/context.ts";
import { type Batch, batchKey } from "../../data/batch.ts";
import { groupsOf } from "../../data/groups.ts";
import { targetsOf } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import type { NamedModel } from "../../model/names.ts";
import { type Slice, sliceOf } from "../../model/structure/slice.ts";
import { Subnet, shapedModel } from "../../model/structure/subnet.ts";
import { operationsOf, type TaskWidths, taskUnits, trunkAndDecoders } from "../../model/structure/task-widths.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { openModel } from "../../run/open-model.ts";
import { Programs } from "../../run/programs.ts";
import { correctRows } from "../../tensor/ops/correct.ts";
import type { EXTRACT } from "../extract-options.ts";
import { neighbours, preferredWidths, type Search } from "../prefer.ts";

type ExtractContext = Context<typeof EXTRACT>;

/** What was chosen, and what it is worth. */
export interface Preferred {
  readonly slice: Slice;
  readonly widths: TaskWidths;
  readonly operations: number;
  /** Accuracy of each task on the rows. */
  readonly accuracies: readonly number[];
  readonly tried: number;
}

/** Preferences in the order of the groups of rows. Throws UserError. */
export function preferences(options: readonly string[], groups: readonly string[], tasks: number): number[] {
  const given = options.flatMap((text) => text.split(","));
  const found = new Map(
    given.map((text) => {
      const [, name = "", value = ""] = /^(.+)=([^=]+)$/.exec(text) ?? [];
      return [name, Number(value)] as const;
    }),
  );
  const odd = [...found].find(([name, value]) => !groups.includes(name) || !(value >= 0 && Number.isFinite(value)));
  if (odd || found.size !== given.length)
    throw new UserError(
      `--prefer ${given.join(",")}: expected a number, 0 or more, for a group of --data (${groups.join(", ")})`,
      `for example ${groups.map((name, i) => `${name}=${i === 0 ? 0.7 : 0.3}`).join(",")}`,
    );
  if (groups.length !== tasks)
    throw new UserError(
      `--data has ${groups.length} groups (${groups.join(", ")}), and the model ${tasks} tasks`,
      "give the rows of each task, in the order in which it was trained",
    );
  const values = groups.map((name) => found.get(name) ?? 0);
  if (values.every((value) => value === 0)) throw new UserError("--prefer counts no task", "give one a number above 0");
  return values;
}

/** Accuracy of each task with these widths. */
async function accuraciesOf(
  model: Model,
  ref: string,
  widths: TaskWidths,
  batches: readonly Batch[],
): Promise<number[]> {
  const whole = shapedModel(model, ref);
  const subnet = await Subnet.make(model, sliceOf(whole, { units: taskUnits(whole, widths) }), ref);
  const programs = new Programs(model.gpu);
  const [right, all] = [widths.decoders.map(() => 0), widths.decoders.map(() => 0)];
  try {
    for (const batch of batches) {
      const { program } = await programs.get(batchKey(batch), (rec) => {
        const { hidden, head } = subnet.record(rec, recordInputs(rec, batch));
        rec.output("right", correctRows(rec, head(hidden), recordTargets(rec, batch)));
      });
      fillInputs(program, batch);
      fillTargets(program, batch);
      program.run();
      const found = await program.read("right");
      for (const [row, target] of targetsOf(batch).entries()) {
        const task = batch.tasks[row] ?? -1;
        if (target < 0 || task < 0) continue;
        right[task]! += found[row]!;
        all[task]!++;
      }
    }
  } finally {
    programs.free();
  }
  return right.map((count, task) => count / Math.max(1, all[task]!));
}

/** Throws UserError for another model, and for a budget that nothing fits. */
export async function preferred(
  context: ExtractContext,
  model: NamedModel,
  checkpoint: Checkpoint,
): Promise<Preferred> {
  const { options } = context;
  const { tasks } = trunkAndDecoders(model);
  if (options.width !== undefined || options.depth !== undefined)
    throw new UserError("--prefer says what stays by itself", "leave out --width and --depth");
  if (!options.data) throw new UserError("--prefer compares settings on rows", "give --data NAME=FILE for each task");
  const groups = groupsOf(options.data, "--data", options.columns);
  const shares = preferences(
    options.prefer ?? [],
    groups.map(({ name }) => name),
    tasks,
  );
  const grid = [...new Set(options.widths ?? [1, 0.75, 0.5])].sort((a, b) => a - b);
  const odd = grid.find((width) => !(width > 0 && width <= 1));
  if (odd !== undefined) throw new UserError(`--widths ${odd}: expected shares above 0, up to 1`, "1,0.75,0.5");
  const sliced = (widths: TaskWidths) => sliceOf(model, { units: taskUnits(model, widths) });
  const cost = (widths: TaskWidths) => operationsOf(sliced(widths).tensors.map((tensor) => [tensor.name, tensor]));
  const search: Search = { preferred: shares, grid, budget: options.budget ?? operationsOf(model.tensors), cost };
  const begin = preferredWidths(search);
  if (!begin) {
    const least = cost({ trunk: grid[0] ?? 1, decoders: shares.map(() => grid[0] ?? 1) });
    throw new UserError(
      `--budget ${options.budget}: the narrowest setting costs ${least} operations a row`,
      "raise it, or give smaller --widths if the model was trained with them",
    );
  }
  if (context.dryRun) return { slice: sliced(begin), widths: begin, operations: cost(begin), accuracies: [], tried: 0 };
  const opened = await openModel(checkpoint.ref, options, (text) => context.warn(text));
  const { batches } = await readBatches(groups, opened, options.batch_size);
  const gpu = await openGpu({ device: context.device, dry: false });
  const live = await Model.load(gpu, checkpoint, { freeze: () => true, warn: (text) => context.warn(text) });
  const settings = neighbours(begin, search);
  let best: { readonly widths: TaskWidths; readonly accuracies: number[]; readonly score: number } | undefined;
  for (const widths of settings) {
    context.signal.throwIfAborted();
    const accuracies = await accuraciesOf(live, checkpoint.ref, widths, batches);
    const score = accuracies.reduce((sum, accuracy, task) => sum + accuracy * shares[task]!, 0);
    if (!best || score > best.score) best = { widths, accuracies, score };
  }
  live.free();
  opened.checkpoint.close();
  if (!best) throw new RangeError("no setting was tried");
  const { widths, accuracies } = best;
  return { slice: sliced(widths), widths, operations: cost(widths), accuracies, tried: settings.length };
}
