/** What the `sample` script does: prompts to answers, streamed as they are decoded. */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { filesOf } from "../checkpoint/folder/files-of.ts";
import { open } from "../checkpoint/open.ts";
import type { CommonValues, Outcome, PlainContext } from "../cli/context.ts";
import { writeAll } from "../cli/stderr.ts";
import { refuseInputs } from "../cli/target.ts";
import { readRows } from "../data/jsonl.ts";
import type { Message, Row } from "../data/rows.ts";
import { type ChatTemplate, plainTemplate } from "../data/template.ts";
import type { StreamDecoder, Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import { openGpu } from "../gpu/gpu.ts";
import type { Values } from "../method/options.ts";
import type { ModelSizes } from "../model/architecture.ts";
import { configOf } from "../model/description.ts";
import { Model } from "../model/model.ts";
import { architectureOf } from "../model/registry.ts";
import { Generator } from "../run/generating/generate.ts";
import { checkStops, type SAMPLE } from "../run/generating/options.ts";
import { textTools } from "../run/text-tools.ts";
import { humanBytes } from "../text/format.ts";
import { table } from "../text/table.ts";

export type SampleContext = PlainContext & { readonly options: CommonValues & Values<typeof SAMPLE> };

interface Prompt {
  readonly text: string;
  readonly ids: readonly number[];
  /** File and line that it was read from; undefined of one on the command line. */
  readonly place?: string;
}

export async function sample(context: SampleContext): Promise<Outcome> {
  const { options, seed } = context;
  checkStops(options.stop);
  if (options.system !== undefined && !options.chat && options.prompts === undefined) throw systemAlone();
  const checkpoint = await open(context.args[0] ?? "-", { warn: (message) => context.warn(message) });
  context.onExit(() => checkpoint.close());
  const folder = options.tokenizer === "byte" ? undefined : options.tokenizer;
  const read = [checkpoint.ref, ...(folder ? [folder] : [])].flatMap(filesOf);
  refuseInputs(context.out, [...read, ...[options.prompts, options.config].filter((file) => file !== undefined)]);
  const json = configOf(checkpoint);
  const where = `${checkpoint.ref}: config.json`;
  const architecture = await architectureOf(json, where);
  if (architecture.task !== "causal-lm")
    throw new UserError(`${checkpoint.ref} is a classifier; it makes no text`, "use evaluate");
  const sizes = architecture.sizes(architecture.config(json, where));
  const { tokenizer, encode } = await textTools(checkpoint.files, checkpoint.ref, sizes, {
    ...options,
    max_length: undefined,
  });
  if (!tokenizer)
    throw new UserError(`${checkpoint.ref} has no tokenizer.json`, "give --tokenizer byte, or a folder that has one");
  const prompts = await promptsOf(context, tokenizer, encode.template);
  for (const prompt of prompts) checkPrompt(prompt, sizes, checkpoint.ref);
  if (context.dryRun) return printPlan(context, checkpoint, prompts);
  const model = await Model.load(await openGpu({ device: context.device }), checkpoint, {
    dtype: options.dtype,
    freeze: () => true,
    warn: (message) => context.warn(message),
  });
  const generator = new Generator(model);
  const jobs = prompts.flatMap((prompt, p) => Array.from({ length: options.samples }, (_, s) => ({ prompt, p, s })));
  let tokens = 0;
  const began = performance.now();
  for (let from = 0; from < jobs.length && !context.signal.aborted; from += options.batch_size) {
    const part = jobs.slice(from, from + options.batch_size);
    const answers = part.map(() => new Answer(tokenizer, options.stop ?? []));
    const live = !options.json && jobs.length === 1 && !context.stdoutTaken && context.out === "-";
    for await (const { row, id } of generator.generate(
      part.map(({ prompt }) => prompt.ids),
      {
        maxTokens: options.max_tokens,
        stop: tokenizer.eos === undefined ? [] : [tokenizer.eos],
        temperature: options.temperature,
        topK: options.top_k,
        topP: options.top_p,
        minP: options.min_p,
        repetitionPenalty: options.repetition_penalty,
        seed,
        keys: part.map(({ p, s }) => `${p}.${s}`),
        signal: context.signal,
      },
    )) {
      if (id < 0) continue;
      tokens++;
      const fresh = answers[row]!.push(id);
      if (live && fresh !== "") writeAll(1, Buffer.from(fresh));
      if (answers.every(({ stopped }) => stopped)) break;
    }
    for (const [i, answer] of answers.entries()) {
      const rest = answer.end();
      const { prompt, p, s } = part[i]!;
      if (live) writeAll(1, Buffer.from(`${rest}\n`));
      else if (options.json)
        context.line({
          prompt: prompt.text,
          sample: s,
          text: answer.text,
          tokens: answer.ids.length,
          ids: answer.ids,
          index: p,
        });
      else context.print(jobs.length === 1 ? answer.text : `${prompt.text}${answer.text}\n`);
    }
  }
  const seconds = (performance.now() - began) / 1000;
  context.signal.throwIfAborted();
  context.info(`${tokens} tokens in ${seconds.toFixed(1)} s, ${(tokens / seconds).toFixed(1)} tokens/s`);
  generator.free();
  return { log: { tokens, tokens_per_s: tokens / seconds } };
}

/** Throws UserError, naming the row, for a prompt that cannot be continued. */
function checkPrompt({ ids, text, place }: Prompt, { maxPositions, outputs }: ModelSizes, ref: string): void {
  const where = place === undefined ? "" : `${place}: `;
  if (ids.length === 0)
    throw new UserError(`${where}the prompt ${JSON.stringify(text)} has no tokens`, "give at least one character");
  const odd = ids.find((id) => id >= outputs);
  if (odd !== undefined)
    throw new UserError(
      `${where}token ${odd} is outside the vocabulary of ${outputs} of ${ref}`,
      "the rows were made with another tokenizer, or the model has another vocabulary",
    );
  if (ids.length >= maxPositions)
    throw new UserError(
      `${where}a prompt of ${ids.length} tokens leaves no room in the ${maxPositions} positions of ${ref}`,
      place === undefined ? "shorten it" : "leave the row out, or shorten it",
    );
}

const systemAlone = (place?: string): UserError =>
  new UserError(
    `${place === undefined ? "" : `${place}: `}--system means nothing without --chat to a prompt that is plain text`,
    "give both or neither",
  );

/** Says what would be answered, with prompts that were all checked. */
function printPlan(context: SampleContext, { ref, tensors }: Checkpoint, prompts: readonly Prompt[]): Outcome {
  const { options, out } = context;
  const bytes = [...tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0);
  const longest = prompts.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const { samples, max_tokens } = options;
  const writes = out === "-" ? "stdout" : out;
  if (options.json)
    context.line({ model: ref, bytes, prompts: prompts.length, longest_prompt: longest, samples, max_tokens, writes });
  else {
    const facts = [
      ["model", `${ref}, ${humanBytes(bytes)} of weights`],
      ["prompts", `${prompts.length}, the longest of ${longest} tokens`],
      ["answers", `${prompts.length * samples} of at most ${max_tokens} tokens`],
      ["writes", writes],
    ];
    context.print(table(facts));
  }
  return {};
}

/** The text of an answer as it grows, up to a stop text. */
class Answer {
  readonly ids: number[] = [];
  text = "";
  stopped = false;
  readonly #decoder: StreamDecoder;
  readonly #stops: readonly string[];
  #given = 0;

  constructor(tokenizer: Tokenizer, stops: readonly string[]) {
    this.#decoder = tokenizer.decoder({ skipSpecial: true });
    this.#stops = stops;
  }

  /** Takes a token; gives the text that is sure by now: the end may be the beginning of a stop text. */
  push(id: number): string {
    if (this.stopped) return "";
    this.ids.push(id);
    this.text += this.#decoder.push(id);
    return this.#settle(false);
  }

  end(): string {
    if (!this.stopped) this.text += this.#decoder.end();
    return this.#settle(true);
  }

  #settle(last: boolean): string {
    const found = this.#stops.map((stop) => this.text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.text = this.text.slice(0, Math.min(...found));
      this.stopped = true;
    }
    const open = last || this.stopped ? 0 : this.#stops.reduce((most, stop) => Math.max(most, stop.length - 1), 0);
    const sure = Math.max(this.#given, this.text.length - open);
    const fresh = this.text.slice(this.#given, sure);
    this.#given = sure;
    return fresh;
  }
}

async function promptsOf(
  context: SampleContext,
  tokenizer: Tokenizer,
  template: ChatTemplate | undefined,
): Promise<Prompt[]> {
  const { options } = context;
  const end = tokenizer.eos === undefined ? "" : tokenizer.decode([tokenizer.eos]);
  const plain = (text: string, place?: string): Prompt => {
    if (options.system !== undefined) throw systemAlone(place);
    return { text, ids: [...tokenizer.encode(text)] };
  };
  const chat = (messages: readonly Message[], text: string): Prompt => {
    const system: Message[] = options.system === undefined ? [] : [{ role: "system", content: options.system }];
    const rendered = (template ?? plainTemplate(end)).render([...system, ...messages], { generationPrompt: true });
    return { text, ids: [...tokenizer.encode(rendered, { special: false })] };
  };
  const said = (text: string, place?: string) =>
    options.chat ? chat([{ role: "user", content: text }], text) : plain(text, place);
  const asked = (row: Row, place: string): Prompt => {
    if (row.form === "completion" || row.form === "prompt") return said(row.prompt, place);
    if (row.form === "text") return said(row.text, place);
    if (row.form === "tokens") return { text: tokenizer.decode(row.inputIds), ids: [...row.inputIds] };
    if (row.form === "messages") {
      const answered = row.messages.at(-1)?.role === "assistant";
      const messages = answered ? row.messages.slice(0, -1) : row.messages;
      return chat(messages, messages.at(-1)?.content ?? "");
    }
    throw new UserError(`${place}: a row of ${row.form} is no prompt`, "rows have prompt, text, messages or input_ids");
  };
  const prompts = [...(options.prompt ?? []), ...context.args.slice(1)].map((text) => said(text));
  if (options.prompts !== undefined) {
    for await (const { row, place } of readRows(options.prompts)) {
      prompts.push({ ...asked(row, place), place });
    }
  }
  if (prompts.length === 0 && context.args.length > 0 && !process.stdin.isTTY) {
    const text = (await Bun.stdin.text()).replace(/\r?\n$/, "");
    if (text !== "") prompts.push(said(text));
  }
  if (prompts.length === 0)
    throw new UserError("no prompt", 'write one after the model, or --prompt "TEXT", or --prompts rows.jsonl');
  return prompts;
}
