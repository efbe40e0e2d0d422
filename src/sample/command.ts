/** What the `sample` script does: prompts to answers, streamed as they are decoded. */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { filesOf } from "../checkpoint/folder/files-of.ts";
import type { Context, Outcome } from "../cli/context.ts";
import { writeText } from "../cli/stderr.ts";
import { refuseInputs } from "../cli/target.ts";
import { NAME_TOKENIZER, type Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import { openGpu } from "../gpu/gpu.ts";
import { bind } from "../method/bind.ts";
import { ofTask } from "../model/adapters/from-file.ts";
import { checkMapped } from "../run/combining/mapped.ts";
import { checkModelCount, makeRule, viewed } from "../run/combining/rule.ts";
import { Answer } from "../run/generating/answer-text.ts";
import { withEffort } from "../run/generating/effort.ts";
import type { Continuer } from "../run/generating/generate.ts";
import { checkPrompt, checkSystem, type Prompt, readPrompts } from "../run/generating/prompts.ts";
import { checkStops } from "../run/generating/stop-texts.ts";
import { type DescribedModel, openModel } from "../run/open-model.ts";
import { humanBytes } from "../text/format.ts";
import { table } from "../text/table.ts";
import { chat, checkChat } from "./chat.ts";
import { openDepth, type SampleDepth } from "./depth.ts";
import type { SAMPLE } from "./options.ts";
import { samplingOf } from "./sampling-options.ts";
import { type ChosenRule, cascadeModels, checkDecoder, loadWriter, openOthers } from "./sources.ts";

export type SampleContext = Context<typeof SAMPLE, "decoder">;

/** With --cascade its weak model stands before the arguments, which are all prompts. Throws UserError. */
function withCascade(context: SampleContext): SampleContext {
  const { cascade, with: others } = context.options;
  if (cascade === undefined) return context;
  if (others?.length) throw new UserError("--cascade and --with are two ways to write together", "leave one out");
  return { ...context, args: [cascadeModels(cascade).weak, ...context.args] };
}

/** The model as --task has it. Throws UserError where no adapter goes by tasks. */
async function asTask(checkpoint: Checkpoint, task: number | undefined): Promise<Checkpoint> {
  if (task === undefined) return checkpoint;
  if (checkpoint.live) return { ...checkpoint, live: await ofTask(checkpoint.live, task) };
  throw new UserError(
    `--task ${task} is for an adapter that mixes its parts by tasks, and ${checkpoint.ref} has none`,
    "leave it out",
  );
}

export async function sample(given: SampleContext): Promise<Outcome> {
  const context = withCascade(given);
  const { options } = context;
  checkStops(options.stop);
  checkSystem(options);
  if (context.method) {
    checkDecoder(context.method.name, options);
    checkModelCount(context.method, 1 + (options.with?.length ?? 0));
  }
  const isTalk = talks(context);
  if (isTalk) checkChat(options, context.args);
  const warn = (message: string) => context.warn(message);
  const plain = await openModel(context.args[0] ?? "-", { ...options, max_length: undefined }, warn);
  context.onExit(() => plain.checkpoint.close());
  const checkpoint = await asTask(plain.checkpoint, options.task);
  const opened = { ...plain, checkpoint };
  const others = await openOthers(opened, options, {
    warn,
    opened: (other) => context.onExit(() => other.close()),
  });
  const models = [opened, ...others];
  const folder = options.tokenizer === "byte" ? undefined : options.tokenizer;
  const read = [...models.map(({ ref }) => ref), ...(folder ? [folder] : [])].flatMap(filesOf);
  refuseInputs(context.out, [...read, ...[options.prompts, options.config].filter((file) => file !== undefined)]);
  const depth = await openDepth(opened, options, warn);
  const { tokenizer, prompts } = await prepare(context, models, isTalk);
  const chosen = ruleFor(context, models, prompts, tokenizer);
  if (context.dryRun) return printPlan(context, { models, depth, chosen }, prompts);
  const gpu = await openGpu({ device: context.device });
  const { writer } = await loadWriter(gpu, models, { ...options, depth, chosen }, warn);
  const began = performance.now();
  const talkers = { writer, sizes: { ...opened.sizes, ...writer.sizes }, ref: checkpoint.ref };
  const tokens = isTalk
    ? await chat({ ...context, write: writeText }, talkers, opened.tools!)
    : await answerAll(context, writer, tokenizer, prompts);
  const seconds = (performance.now() - began) / 1000;
  context.signal.throwIfAborted();
  const summary = writer.summary?.();
  if (summary !== undefined) context.info(summary);
  context.info(`${tokens} tokens in ${seconds.toFixed(1)} s, ${(tokens / seconds).toFixed(1)} tokens/s`);
  return { log: { tokens, tokens_per_s: tokens / seconds, ...writer.log?.() } };
}

/** Whether --chat has no prompt of its own, so that the turns come from stdin. */
const talks = ({ options, args }: SampleContext): boolean =>
  options.chat && !options.prompt?.length && options.prompts === undefined && args.length < 2;

/**
 * The model's tokenizer and all prompts, before a weight is read. Throws UserError for a prompt that it cannot
 * continue.
 */
async function prepare(
  { options, args }: SampleContext,
  models: readonly DescribedModel[],
  isTalk: boolean,
): Promise<{ tokenizer: Tokenizer; prompts: Prompt[] }> {
  const { ref, tools, task } = models[0]!;
  if (!tools && task === "denoiser")
    throw new UserError(`${ref} is a denoiser, which writes no text`, "bun run sample vectors draws rows from it");
  if (!tools) throw new UserError(`${ref} is a classifier; sample needs a language model`, "use evaluate");
  const { tokenizer, encode } = tools;
  if (!tokenizer) throw new UserError(`${ref} has no tokenizer.json`, NAME_TOKENIZER);
  if (isTalk) return { tokenizer, prompts: [] };
  const isStdinFree = args.length > 0 && args[0] !== "-" && !process.stdin.isTTY;
  const given = { args: args.slice(1), isStdinFree };
  const { effort } = options;
  const read = await readPrompts(options, given, { tokenizer, template: encode.template });
  const asText = (text: string) => tokenizer.encode(text, { special: false });
  const prompts = effort === undefined ? read : read.map((prompt) => withEffort(prompt, effort, asText));
  for (const prompt of prompts) for (const { sizes, ref } of models) checkPrompt(prompt, sizes, ref);
  return { tokenizer, prompts };
}

/** The rule of --method, checked against models and prompts; undefined without it. Throws UserError. */
function ruleFor(
  { method, settings, options, info }: SampleContext,
  models: readonly DescribedModel[],
  prompts: readonly Prompt[],
  tokenizer: Tokenizer,
): ChosenRule | undefined {
  if (!method) return undefined;
  const seen = viewed(options.draft === undefined ? models : models.slice(0, -1));
  const rule = makeRule(bind(method, settings), seen, tokenizer);
  if (rule.remark) info(rule.remark);
  if (rule.remembers && options.draft !== undefined)
    throw new UserError(
      `--method ${method.name} remembers tokens, and drafted ones may be taken back`,
      "leave out --draft",
    );
  for (const [i, { ids, place = `prompt ${i + 1}` }] of prompts.entries())
    checkMapped(rule, seen, { ids, place, maxTokens: options.max_tokens });
  return { rule, prompts: prompts.map(({ ids }) => ids) };
}

/** Decodes and prints the answers to all prompts, a batch at a time; returns how many tokens they have. */
async function answerAll(
  context: SampleContext,
  writer: Continuer,
  tokenizer: Tokenizer,
  prompts: readonly Prompt[],
): Promise<number> {
  const { options, seed, signal } = context;
  const jobs = prompts.flatMap((prompt, p) => Array.from({ length: options.samples }, (_, s) => ({ prompt, p, s })));
  const isLive = !options.json && jobs.length === 1 && !context.stdoutTaken && context.out === "-";
  let tokens = 0;
  // The answer itself shows how far a single one is.
  if (!isLive) context.progress.start({ total: jobs.length, unit: "answers" });
  for (let from = 0; from < jobs.length && !signal.aborted; from += options.batch_size) {
    const part = jobs.slice(from, from + options.batch_size);
    const answers = part.map(() => new Answer(tokenizer, options.stop ?? []));
    const ids = part.map(({ prompt }) => prompt.ids);
    const sampling = {
      ...samplingOf(options, seed, tokenizer),
      keys: part.map(({ p, s }) => `${p}.${s}`),
      names: part.map(({ p }) => `prompt ${p + 1}`),
      signal,
    };
    for await (const { row, id } of writer.generate(ids, sampling)) {
      if (id < 0) continue;
      tokens++;
      const fresh = answers[row]!.push(id);
      if (isLive && fresh !== "") writeText(fresh);
      if (answers.every(({ stopped }) => stopped)) break;
    }
    for (const [i, answer] of answers.entries()) {
      const rest = answer.end();
      const { prompt, p, s } = part[i]!;
      const { text, ids } = answer;
      if (isLive) writeText(`${rest}\n`);
      else if (options.json)
        context.line({
          ...{ prompt: prompt.text, sample: s, text, tokens: ids.length, ids, index: p },
          ...writer.notes?.(i),
        });
      else if (jobs.length === 1) context.text(text);
      else if (!options.chat && options.samples === 1) context.text(`${prompt.text}${text}\n`);
      else context.text(setApart(prompt, { p, s, text }, { prompts: prompts.length, samples: options.samples }));
    }
    if (!isLive) context.progress.advance(part.length);
  }
  writer.free();
  if (!isLive) context.progress.done();
  return tokens;
}

/** An answer under the number of its own and, where it is the first one, its prompt under the number of that. */
function setApart(
  prompt: Prompt,
  { p, s, text }: { readonly p: number; readonly s: number; readonly text: string },
  of: { readonly prompts: number; readonly samples: number },
): string {
  const ended = (body: string) => (body.endsWith("\n") ? body : `${body}\n`);
  const asked = `=== prompt ${p + 1} of ${of.prompts}\n${ended(prompt.text)}`;
  return `${s === 0 ? asked : ""}--- answer ${s + 1} of ${of.samples}\n${ended(text)}`;
}

/** Models that were opened, and which layers of the first one write. */
interface Planned {
  readonly models: readonly (DescribedModel & { readonly checkpoint: Checkpoint })[];
  readonly depth: SampleDepth;
  readonly chosen: ChosenRule | undefined;
}

/** The GPU's memory and what the cache takes of it, for as many answers at once as there will be; in bytes. */
async function plannedMemory(
  { options, device }: SampleContext,
  { models, depth, chosen }: Planned,
  prompts: readonly Prompt[],
): Promise<{ gpu: number; cache: number }> {
  const gpu = await openGpu({ device, dry: true });
  const { writer, free } = await loadWriter(gpu, models, { ...options, depth, chosen });
  const batch = Math.max(1, Math.min(options.batch_size, prompts.length * options.samples));
  const longest = prompts.reduce((most, { ids }) => Math.max(most, ids.length), 1);
  const cache = await writer.plan(batch, longest, options.max_tokens);
  free();
  return { gpu: gpu.pool.peak, cache };
}

/** Says what would be answered, with prompts that were all checked, and what it takes. */
async function printPlan(context: SampleContext, planned: Planned, prompts: readonly Prompt[]): Promise<Outcome> {
  const { options, out } = context;
  const { models } = planned;
  const { gpu: gpu_memory, cache } = await plannedMemory(context, planned, prompts);
  const [bytes, ...more] = models.map(({ checkpoint }) =>
    [...checkpoint.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0),
  ) as [number, ...number[]];
  const { ref } = models[0]!;
  const others = models.slice(1);
  const longest = prompts.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const { samples, max_tokens } = options;
  const writes = out === "-" ? "stdout" : out;
  if (options.json)
    context.line({
      ...{ model: ref, bytes, prompts: prompts.length, longest_prompt: longest, samples, max_tokens },
      ...(others.length > 0 && { with: others.map((other, i) => ({ model: other.ref, bytes: more[i] })) }),
      ...{ gpu_memory, cache, writes },
    });
  else {
    const facts = [
      ["model", `${ref}, ${humanBytes(bytes)} of weights`],
      ...others.map((other, i) => ["with", `${other.ref}, ${humanBytes(more[i]!)} of weights`]),
      ["prompts", prompts.length === 0 ? "turns from stdin" : `${prompts.length}, the longest of ${longest} tokens`],
      ["answers", `${prompts.length === 0 ? "one a turn," : prompts.length * samples} of at most ${max_tokens} tokens`],
      [
        "GPU memory",
        `${prompts.length === 0 ? "at least " : ""}${humanBytes(gpu_memory)}, ${humanBytes(cache)} of it what is kept of tokens`,
      ],
      ["writes", writes],
    ];
    context.print(table(facts));
  }
  return {};
}
