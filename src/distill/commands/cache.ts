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
import { ALL_TERMS, tokenBytes } from "../../run/teachers/packed-codes.ts";
import { writeAnswers, writeCache } from "../../run/teachers/write-teacher-cache.ts";
import { type TextTools, textTools } from "../../run/text-tools.ts";
import { humanBytes } from "../../text/format.ts";
import { alignedAnswers } from "../aligned-answers.ts";
import { apiUrl } from "../api-request.ts";
import { apiTeacher } from "../api-teacher.ts";
import type { CACHE } from "../options.ts";

/** How answers are packed, and the bytes of a token. */
function codesOf(
  { codes, code_exact, code_curve, code_bins }: Context<typeof CACHE, "decoder">["options"],
  { k, vocabulary }: { readonly k: number; readonly vocabulary: number },
) {
  if (codes === "plain") return { each: 8 * k + 4 };
  const terms = code_curve === "full" ? ALL_TERMS : (["1", "t", "sqrt"] as const);
  const layout = { vocabulary, k, exact: Math.min(k, code_exact), terms, bits: code_bins };
  return { codes: layout, each: tokenBytes(layout) };
}

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

/** Opens the model whose tokens count, where --align names one. Throws UserError. */
async function alignedTo(context: Context<typeof CACHE, "decoder">, teacher: Opened) {
  const { align } = context.options;
  if (align === undefined) return undefined;
  if (context.method)
    throw new UserError("--align writes down one model, and --method combines several", "leave one out");
  const [own] = await openAll(context, [align]);
  const [ours, theirs] = [own!.tools.tokenizer, teacher.tools.tokenizer];
  if (!ours || !theirs)
    throw new UserError(
      `${ours ? teacher.ref : own!.ref} has no tokenizer, and tokens are aligned by their texts`,
      "add its tokenizer.json",
    );
  return {
    ...{ tools: own!.tools, own: { tokenizer: ours, outputs: own!.sizes.outputs } },
    other: { tokenizer: theirs, maxLength: teacher.tools.encode.maxLength! },
  };
}

/** Writes down what a teacher behind an API says. */
async function cacheOfApi(context: Context<typeof CACHE, "decoder">, refs: readonly string[]): Promise<Outcome> {
  const { options, seed, method } = context;
  const { teacher_url: url = "", model, student } = options;
  if (refs.length > 0 || method)
    throw new UserError(
      `--teacher-url and ${method ? "--method" : "--teacher"} both say what is asked`,
      "give one of them; --student names the model whose tokens count",
    );
  if (model === undefined || student === undefined)
    throw new UserError("--teacher-url needs --model and --student", "name the teacher there, and who will learn");
  const address = apiUrl(url);
  const [own] = await openAll(context, [student]);
  const { checkpoint, tools, sizes } = own!;
  const { tokenizer } = tools;
  if (!tokenizer)
    throw new UserError(
      `${own!.ref} has no tokenizer, and an API is sent texts`,
      "add tokenizer.json, or give --tokenizer",
    );
  const { sequences, groups } = await loadSequences(groupsOf(options.data, "--data", options.columns), tools.encode);
  const tokens = groups.reduce((sum, group) => sum + group.tokens, 0);
  const k = Math.min(options.top_logprobs, sizes.outputs);
  const { codes, each } = codesOf(options, { k, vocabulary: sizes.outputs });
  context.info(`${sequences.length} rows, ${tokens} tokens, about ${humanBytes(tokens * each)}, ${each} bytes a token`);
  if (context.dryRun) {
    context.json({ rows: sequences.length, tokens, bytes: tokens * each });
    return {};
  }
  await tryTarget(context.out);
  const { key_variable: keyVariable, timeout, retries } = options;
  const key = process.env[keyVariable];
  const { signal } = context;
  const api = { url: address, host: address.host, model, key, keyVariable, timeout, retries, signal };
  const answering = apiTeacher({ api, form: options.api, tokenizer, outputs: sizes.outputs, k });
  const chosen = { ...context.chosen, top_logprobs: k };
  const step = { script: "distill cache", version: context.version, options: chosen, seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "student" }], (text) => context.warn(text));
  context.progress.start({ total: sequences.length, unit: "rows" });
  const { bytes, mass } = await writeAnswers(context.out, answering, sequences, {
    ...{ ref: api.host, rows: options.batch_size, lineage, signal, codes },
    done: (n) => context.progress.advance(n),
  });
  return told(context, { rows: sequences.length, tokens, k, mass }, bytes, groups);
}

export async function cache(context: Context<typeof CACHE, "decoder">): Promise<Outcome> {
  const { options, args, seed, method } = context;
  const refs = [...(options.teacher ?? []), ...args];
  if (options.teacher_url !== undefined) return cacheOfApi(context, refs);
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
  const aligned = await alignedTo(context, teacher!);
  const outputs = aligned ? Math.min(sharedOutputs(models), aligned.own.outputs) : sharedOutputs(models);
  const { encode } = aligned?.tools ?? tools;
  const { sequences, groups } = await loadSequences(groupsOf(options.data, "--data", options.columns), encode);
  const tokens = groups.reduce((sum, group) => sum + group.tokens, 0);
  const k = Math.min(options.top_logprobs, outputs);
  const { codes, each } = codesOf(options, { k, vocabulary: aligned?.own.outputs ?? outputs });
  context.info(`${sequences.length} rows, ${tokens} tokens, about ${humanBytes(tokens * each)}, ${each} bytes a token`);
  if (context.dryRun) {
    context.json({ rows: sequences.length, tokens, bytes: tokens * each });
    return {};
  }
  await tryTarget(context.out);
  const gpu = await openGpu({ device: context.device });
  const loaded: Model[] = [];
  for (const model of models)
    loaded.push(await Model.load(gpu, model.checkpoint, { freeze: () => true, loadIn: options.load_in }));
  const pad = tools.tokenizer?.pad ?? 0;
  const logits = rule ? new CombinedRows(rule, loaded, pad) : new AllLogits(loaded[0]!);
  const { teacher: _, with: __, ...chosen } = context.chosen; // they are among the inputs
  const step = {
    ...{ script: "distill cache", version: context.version },
    ...(method ? { method: method.name } : {}),
    ...{ options: { ...chosen, top_logprobs: k }, seed },
  };
  const read = models.map((model, i) => ({ checkpoint: model.checkpoint, role: i === 0 ? "teacher" : "with" }));
  const lineage = lineageOf(step, read, warn);
  context.progress.start({ total: sequences.length, unit: "rows" });
  const writing = {
    ...{ ref: checkpoint.ref, rows: options.batch_size, lineage, signal: context.signal, codes },
    done: (n: number) => context.progress.advance(n),
  };
  const { bytes, mass } = aligned
    ? await writeAnswers(context.out, alignedAnswers(logits, { ...aligned, k }), sequences, writing, () =>
        logits.free(),
      )
    : await writeCache(context.out, logits, sequences, { ...writing, k, pad });
  return told(context, { rows: sequences.length, tokens, k, mass }, bytes, groups);
}

/** What is told of a cache that was written. */
function told(
  context: Context<typeof CACHE, "decoder">,
  summary: { readonly rows: number; readonly tokens: number; readonly k: number; readonly mass: number },
  bytes: number,
  groups: Awaited<ReturnType<typeof loadSequences>>["groups"],
): Outcome {
  const { k, mass } = summary;
  context.progress.done();
  context.info(`the ${k} hold ${(100 * mass).toFixed(1)} % of the teacher's probability`);
  context.json({
    ...(context.out === "-" ? {} : { file: context.out }),
    ...summary,
    bytes,
    groups: groups.map(({ name, sequences, tokens }) => ({ name, rows: sequences, tokens })),
  });
  return { output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(bytes)})`, log: summary };
}
