/** What the `unlearn` script does: an objective in the training loop, a training without rows, an edit of weights. */
import { lineageOf } from "../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../cli/context.ts";
import { UserError } from "../errors.ts";
import { openGpu } from "../gpu/gpu.ts";
import { type Bound, bind } from "../method/bind.ts";
import { flagOf } from "../method/options.ts";
import { checkSave, prepareSave, saveResult } from "../model/save.ts";
import { readBatches } from "../run/batches-in-order.ts";
import { adapterFlag, trainsAdapter } from "../run/training/adapter-choice.ts";
import { runTraining } from "../run/training/run-training.ts";
import { humanBytes } from "../text/format.ts";
import type { UnlearnBatch } from "./batches.ts";
import { judgeOf } from "./best.ts";
import { chooseTerms } from "./choices.ts";
import type { EditSetup, UnlearnDataFree, UnlearnEdit, UnlearnObjective } from "./contract.ts";
import { trainDataFree } from "./data-free.ts";
import { opened } from "./edit.ts";
import { forgetGroups, openOriginal, readData, type UnlearnData } from "./forget-data.ts";
import type { UNLEARN } from "./options.ts";
import { tracedWeights } from "./tracing.ts";
import { setUpTraining } from "./training.ts";

type UnlearnContext = Context<typeof UNLEARN, "unlearn">;

export async function unlearn(context: UnlearnContext): Promise<Outcome> {
  const method = context.method!;
  if (method.kind === "data-free") return trainDataFree(context, bind<UnlearnDataFree>(method, context.settings));
  return method.kind === "edit"
    ? edit(context, bind<UnlearnEdit>(method, context.settings))
    : train(context, bind<UnlearnObjective>(method, context.settings));
}

/** Trains an objective. */
function train(context: UnlearnContext, chosen: Bound<UnlearnObjective>): Promise<Outcome> {
  const [smoothing] = context.picks.smooth;
  const loss = context.picks.loss[0]!;
  const choices = chooseTerms(context, chosen, smoothing?.method);
  const { trains } = choices;
  if (loss.method.name !== "ce" && choices.retain !== "nll" && context.options.pd === undefined)
    throw new UserError(
      `--loss ${loss.method.name} is of the labels of rows to keep, which have no part in this loss`,
      "give --retain with --retain-loss nll, or leave it out",
    );
  return runTraining<UnlearnBatch, UnlearnData>(context, {
    script: "unlearn",
    method: chosen.method.name,
    model: context.args[0] ?? "-",
    trains: typeof trains === "function" ? (loaded) => tracedWeights(context, trains, loaded) : trains,
    data: async (opened) => {
      const ref = context.options.original;
      if (ref === undefined) return readData(context, choices, opened);
      const original = await openOriginal(ref, opened, (text) => context.warn(text));
      context.onExit(() => original.checkpoint.close());
      return { ...(await readData(context, choices, opened)), original };
    },
    read: ({ original }) => (original ? [{ checkpoint: original.checkpoint, role: "original" }] : []),
    work: (built, data) => setUpTraining(context, choices, { smoothing, loss }, data, built),
    judge: judgeOf(context.options),
    measured: [...named("forget", context.options.forget), ...named("retain", context.options.retain)],
  });
}

/** Rows of one role under its name, as `evaluate` looks for it; several files keep their own. */
const named = (role: string, rows: readonly string[] = []): readonly string[] =>
  rows.length === 1 && !rows[0]!.includes("=") ? [`${role}=${rows[0]}`] : rows;

/** Options of training that an edit has no use for, where they show that they were given. */
const TRAINING = [
  "smooth",
  "pd",
  "original",
  "steps",
  "epochs",
  "eval_data",
  "eval_split",
  "resume",
  "state",
  "best",
] as const;

/** How the result of an edit is saved, with its lineage. */
function savingOf(context: UnlearnContext, method: string, { begun, files }: Awaited<ReturnType<typeof opened>>) {
  const { options, seed } = context;
  const step = {
    script: "unlearn",
    version: context.version,
    method,
    options: context.chosen,
    seed,
  };
  return {
    files,
    lineage: lineageOf(step, begun.read, (text) => context.warn(text)),
    ...(options.out_dtype ? { dtype: ({ f32: "F32", bf16: "BF16", f16: "F16" } as const)[options.out_dtype] } : {}),
    ...(options.shards ? { shards: options.shards } : {}),
    ...(options.gguf_type ? { ggufType: options.gguf_type } : {}),
    ...(options.gguf_imatrix ? { ggufImatrix: options.gguf_imatrix } : {}),
    warn: (message: string) => context.warn(message),
    hub: { warn: (text: string) => context.warn(text), progress: context.progress },
  };
}

/** Edits weights. */
async function edit(context: UnlearnContext, { method, values }: Bound<UnlearnEdit>): Promise<Outcome> {
  const { options, signal } = context;
  if (trainsAdapter(options))
    throw new UserError("an edit changes weights, not an adapter", `leave out ${adapterFlag(options)}`);
  const odd = TRAINING.find((name) => options[name]);
  if (odd) throw new UserError(`${flagOf(odd)} is for methods that train`, "leave it out");
  const source = await opened(context, context.args[0] ?? "-");
  const { begun } = source;
  const alone = method.alone?.(values) ?? false;
  if (alone && method.open && options.retain)
    throw new UserError(`${method.name} has no use for --retain`, "leave it out");
  if (!alone && !options.retain)
    throw new UserError("--retain is missing", `${method.name} compares the rows to forget with the others`);
  const rows = method.rows?.(values) ?? options.batch_size;
  const groups = forgetGroups(context);
  const { batches: forget } = await readBatches(groups.forget, source, rows);
  const retain = alone ? [] : (await readBatches(groups.retain ?? [], source, rows)).batches;
  const { tensors = new Map() } = begun;
  const work = await method.open?.({ ref: begun.ref, tensors, forget, values });
  const saving = { ...savingOf(context, method.name, source), beside: work?.beside };
  if (context.dryRun) {
    const gpu = await openGpu({ device: context.device, dry: true });
    await checkSave(await begun.load(gpu), context.out, saving);
    const plan = { forget: forget.length, retain: retain.length, rows };
    if (options.json) context.json(plan);
    else context.print(`${plan.forget} batches to forget, ${plan.retain} to keep, of ${rows}`);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await begun.load(gpu);
  const writer = await prepareSave(model, context.out, saving);
  context.onExit((ok) => (ok ? undefined : writer?.abort()));
  context.progress.start({ total: 100, unit: "%" });
  let shown = 0;
  const setup: EditSetup = {
    model,
    forget,
    retain,
    values,
    signal,
    warn: (text) => context.warn(text),
    done: (share) => {
      const now = Math.floor(100 * share);
      context.progress.advance(now - shown);
      shown = now;
    },
  };
  const found = (await (work ? work.edit(setup) : method.edit?.(setup))) ?? {};
  context.progress.done();
  context.json(found);
  const lines = Object.entries(found).map(([name, value]) => `${name} ${value}`);
  if (!options.json) context.info(lines.join(", "));
  const bytes = await saveResult(model, writer ?? context.out, saving, context.log.run);
  return { output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(bytes)})`, log: found };
}
