/** `distill cache`: writes the most likely tokens of a teacher over data, for later runs without it. */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { open } from "../../checkpoint/open.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { loadSequences } from "../../data/dataset.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bind } from "../../method/bind.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import { configOf, describeConfig } from "../../model/description.ts";
import { Model } from "../../model/model.ts";
import { CombinedRows } from "../../run/combining/combined-rows.ts";
import { checkModelCount, makeRule, sharedOutputs, viewed } from "../../run/combining/rule.ts";
import { checkTogether } from "../../run/combining/together.ts";
import { AllLogits } from "../../run/scoring/all-logits.ts";
import { writeCache } from "../../run/teachers/write-teacher-cache.ts";
import { type TextTools, textTools } from "../../run/text-tools.ts";
import { humanBytes } from "../../text/format.ts";
import type { CACHE } from "../options.ts";

/** A language model of the command. */
interface Opened {
  readonly ref: string;
  readonly checkpoint: Checkpoint;
  readonly sizes: ModelSizes;
  readonly config: unknown;
  readonly tools: TextTools;
}

/** Opens the teacher, and what is combined with it; reads no weights. Throws UserError. */
async function openAll(context: Context<typeof CACHE, "decoder">, refs: readonly string[]): Promise<Opened[]> {
  const warn = (text: string) => context.warn(text);
  const opened: Opened[] = [];
  for (const name of refs) {
    const checkpoint = await open(name, { live: true, warn });
    context.onExit(() => checkpoint.close());
    const { ref, files } = checkpoint;
    const { architecture, sizes, config } = await describeConfig(configOf(checkpoint), ref, undefined, checkpoint);
    if (architecture.task !== "causal-lm")
      throw new UserError(`${ref} is a ${architecture.task}`, "a cache is for language models");
    opened.push({ ref, checkpoint, sizes, config, tools: await textTools(files, ref, sizes, context.options, warn) });
  }
  return opened;
}

export async function cache(context: Context<typeof CACHE, "decoder">): Promise<Outcome> {
  const { options, args, seed, method } = context;
  const refs = [...(options.teacher ?? []), ...args];
  if (refs.length !== 1)
    throw new UserError(`distill cache takes one teacher, got ${refs.length}`, "give --teacher MODEL");
  if (method) checkModelCount(method, 1 + (options.with?.length ?? 0));
  const warn = (text: string) => context.warn(text);
  const [teacher, ...others] = await openAll(context, [refs[0]!, ...(options.with ?? [])]);
  const { checkpoint, tools } = teacher!;
  const models = [teacher!, ...others];
  if (method) checkTogether(teacher!, others);
  const rule = method && makeRule(bind(method, context.settings), viewed(models), tools.tokenizer);
  if (rule?.remark) context.info(rule.remark);
  const outputs = sharedOutputs(models);
  const { sequences, groups } = await loadSequences(groupsOf(options.data, "--data", options.columns), tools.encode);
  const tokens = groups.reduce((sum, group) => sum + group.tokens, 0);
  const k = Math.min(options.top_logprobs, outputs);
  context.info(`${sequences.length} rows, ${tokens} tokens, about ${humanBytes(tokens * (8 * k + 4))}`);
  if (context.dryRun) {
    context.json({ rows: sequences.length, tokens, bytes: tokens * (8 * k + 4) });
    return {};
  }
  await tryTarget(context.out);
  const gpu = await openGpu({ device: context.device });
  const loaded: Model[] = [];
  for (const model of models)
    loaded.push(await Model.load(gpu, model.checkpoint, { freeze: () => true, loadIn: options.load_in }));
  const pad = tools.tokenizer?.pad ?? 0;
  const logits = rule ? new CombinedRows(rule, loaded, pad) : new AllLogits(loaded[0]!);
  const { teacher: _, with: __, ...chosen } = context.chosen;
  const step = {
    ...{ script: "distill cache", version: context.version },
    ...(method ? { method: method.name } : {}),
    ...{ options: { ...chosen, top_logprobs: k }, seed },
  };
  const read = models.map((model, i) => ({ checkpoint: model.checkpoint, role: i === 0 ? "teacher" : "with" }));
  const lineage = lineageOf(step, read, warn);
  context.progress.start({ total: sequences.length, unit: "rows" });
  const { bytes, mass } = await writeCache(context.out, logits, sequences, {
    ref: checkpoint.ref,
    k,
    rows: options.batch_size,
    pad,
    lineage,
    signal: context.signal,
    done: (n) => context.progress.advance(n),
  });
  context.progress.done();
  context.info(`the ${k} hold ${(100 * mass).toFixed(1)} % of the teacher's probability`);
  const summary = { rows: sequences.length, tokens, k, mass };
  context.json({
    ...(context.out === "-" ? {} : { file: context.out }),
    ...summary,
    bytes,
    groups: groups.map(({ name, sequences, tokens }) => ({ name, rows: sequences, tokens })),
  });
  return { output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(bytes)})`, log: summary };
}
