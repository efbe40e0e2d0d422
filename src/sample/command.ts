/** What the `sample` script does: prompts to answers, streamed as they are decoded. */
import { open } from "../checkpoint/open.ts";
import type { CommonValues, Outcome, PlainContext } from "../cli/context.ts";
import type { Values } from "../cli/options.ts";
import { writeAll } from "../cli/stderr.ts";
import { readRows } from "../data/jsonl.ts";
import type { Message } from "../data/rows.ts";
import { type ChatTemplate, plainTemplate } from "../data/template.ts";
import type { StreamDecoder, Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import { openGpu } from "../gpu/gpu.ts";
import { configOf, Model } from "../model/model.ts";
import { architectureOf } from "../model/registry.ts";
import { textTools } from "../train/data-source.ts";
import { Generator } from "./generate.ts";
import type { SAMPLE } from "./options.ts";

export type SampleContext = PlainContext & { readonly options: CommonValues & Values<typeof SAMPLE> };

interface Prompt {
  readonly text: string;
  readonly ids: readonly number[];
}

export async function sample(context: SampleContext): Promise<Outcome> {
  const { options, seed } = context;
  const checkpoint = await open(context.args[0] ?? "-", { warn: (message) => context.warn(message) });
  context.onExit(() => checkpoint.close());
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
  for (const { ids, text } of prompts) {
    if (ids.length === 0)
      throw new UserError(`the prompt ${JSON.stringify(text)} has no tokens`, "give at least one character");
    if (ids.length >= sizes.maxPositions)
      throw new UserError(
        `a prompt of ${ids.length} tokens leaves no room in the ${sizes.maxPositions} positions of ${checkpoint.ref}`,
        "shorten it",
      );
  }
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
  const plain = (text: string): Prompt => ({ text, ids: [...tokenizer.encode(text)] });
  const chat = (messages: readonly Message[], text: string): Prompt => {
    const system: Message[] = options.system === undefined ? [] : [{ role: "system", content: options.system }];
    const rendered = (template ?? plainTemplate(end)).render([...system, ...messages], { generationPrompt: true });
    return { text, ids: [...tokenizer.encode(rendered, { special: false })] };
  };
  const said = (text: string) => (options.chat ? chat([{ role: "user", content: text }], text) : plain(text));
  const prompts = [...(options.prompt ?? []), ...context.args.slice(1)].map(said);
  if (options.prompts !== undefined) {
    for await (const { row, place } of readRows(options.prompts)) {
      if (row.form === "completion") prompts.push(said(row.prompt));
      else if (row.form === "text") prompts.push(said(row.text));
      else if (row.form === "messages") {
        const last = row.messages.at(-1);
        const asked = last?.role === "assistant" ? row.messages.slice(0, -1) : row.messages;
        prompts.push(chat(asked, asked.at(-1)?.content ?? ""));
      } else if (row.form === "tokens") prompts.push({ text: tokenizer.decode(row.inputIds), ids: [...row.inputIds] });
      else
        throw new UserError(
          `${place}: a row of ${row.form} is no prompt`,
          "rows have prompt, text, messages or input_ids",
        );
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
