/** Runs an edit of weights: model and data in, importances or the changed model out. */

import { lineageOf } from "../checkpoint/lineage/input.ts";
import type { Outcome } from "../cli/context.ts";
import { type Batch, collate, stackExamples } from "../data/batch.ts";
import { checkLabels, inBatches, loadExamples, loadSequences } from "../data/dataset.ts";
import { groupsOf, parseGroups } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import { openGpu } from "../gpu/gpu.ts";
import type { ModelSizes } from "../model/architecture.ts";
import { architectureOf } from "../model/registry.ts";
import { prepareSave, saveResult } from "../model/save.ts";
import { type TextOptions, type TextTools, textTools } from "../run/text-tools.ts";
import { lineageOptions } from "../run/training/run-lineage.ts";
import { type StartOptions, start } from "../run/training/starting-model.ts";
import { humanBytes } from "../text/format.ts";
import type { UnlearnContext } from "./command.ts";
import type { UnlearnEdit } from "./contract.ts";

/** Rows in file order, so many at once. */
export async function batchesIn(
  groups: ReturnType<typeof parseGroups>,
  { tools, sizes }: { readonly tools: TextTools | undefined; readonly sizes: ModelSizes },
  rows: number,
): Promise<Batch[]> {
  const batches: Batch[] = [];
  if (tools) {
    const { sequences } = await loadSequences(groups, tools.encode);
    const pad = tools.tokenizer?.pad ?? 0;
    for await (const part of inBatches(sequences, rows))
      batches.push(
        collate(
          part.map((sequence) => [sequence]),
          { pad },
        ),
      );
  } else {
    const examples = await loadExamples(groups);
    checkLabels(examples, sizes.outputs, sizes.example);
    for await (const part of inBatches(examples, rows)) batches.push(stackExamples(part));
  }
  return batches;
}

/** Options of training that an edit has no use for, where they show that they were given. */
const TRAINING = ["smooth", "pd", "steps", "epochs", "eval_data", "resume", "state", "best"] as const;

/** What it takes to open a model. */
interface Opening {
  readonly options: Omit<StartOptions, "model" | "init" | "seed" | "warn"> & TextOptions;
  readonly seed: number;
  warn(text: string): void;
  onExit(cleanup: () => void): void;
}

/** Opens the model that an edit changes, and what reads its data. */
export async function opened(context: Opening, ref: string) {
  const { options, seed } = context;
  const begun = await start({ ...options, model: ref, init: undefined, seed, warn: (text) => context.warn(text) });
  context.onExit(() => begun.close());
  const where = `${begun.ref}: config.json`;
  const architecture = await architectureOf(begun.json, where);
  const sizes = architecture.sizes(architecture.config(begun.json, where));
  const tools =
    architecture.task === "causal-lm"
      ? await textTools(begun.files, begun.ref, sizes, options, (text) => context.warn(text))
      : undefined;
  return { begun, tools, sizes };
}

export async function runEdit(context: UnlearnContext, method: UnlearnEdit): Promise<Outcome> {
  const { options, settings, seed, signal } = context;
  if (options.lora || options.lora_continue)
    throw new UserError("an edit changes weights, not an adapter", "leave out --lora");
  const odd = TRAINING.find((name) => options[name]);
  if (odd) throw new UserError(`--${odd.replace("_", "-")} is for methods that train`, "leave it out");
  const source = await opened(context, context.args[0] ?? "-");
  const { begun, tools } = source;
  const alone = method.alone?.(settings as never) ?? false;
  if (!alone && !options.retain)
    throw new UserError("--retain is missing", `${method.name} compares the rows to forget with the others`);
  const rows = settings.fisher === "sample" ? 1 : options.batch_size;
  const forget = await batchesIn(groupsOf(options.forget, "--forget"), source, rows);
  const retain = alone ? [] : await batchesIn(parseGroups(options.retain!), source, rows);
  if (context.dryRun) {
    const plan = { forget: forget.length, retain: retain.length, rows };
    if (options.json) context.json(plan);
    else context.print(`${plan.forget} batches to forget, ${plan.retain} to keep, of ${rows}`);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await begun.load(gpu);
  const step = {
    script: "unlearn",
    version: context.version,
    method: method.name,
    options: lineageOptions(context),
    seed,
  };
  const lineage = lineageOf(step, begun.read);
  const saving = {
    files: tools?.files ?? begun.files,
    lineage,
    ...(options.out_dtype ? { dtype: ({ f32: "F32", bf16: "BF16", f16: "F16" } as const)[options.out_dtype] } : {}),
    ...(options.shards ? { shards: options.shards } : {}),
  };
  const writer = await prepareSave(model, context.out, saving);
  context.onExit((ok) => (ok ? undefined : writer?.abort()));
  context.progress.start({ total: 100, unit: "%" });
  let shown = 0;
  const told = await method.edit({
    model,
    forget,
    retain,
    values: settings as never,
    signal,
    log: context.log,
    warn: (text) => context.warn(text),
    done: (share) => {
      const now = Math.floor(100 * share);
      context.progress.advance(now - shown);
      shown = now;
    },
  });
  context.progress.done();
  context.json(told);
  if (!options.json)
    context.info(
      Object.entries(told)
        .map(([name, value]) => `${name} ${value}`)
        .join(", "),
    );
  const bytes = await saveResult(model, writer ?? context.out, saving, context.log.run);
  return { output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(bytes)})`, log: told };
}
