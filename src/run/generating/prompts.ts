/** What `sample` continues: texts and conversations from the command line, from rows and from stdin. */
import { parseColumns } from "../../data/columns.ts";
import { readRows } from "../../data/read-rows.ts";
import type { Message, Row } from "../../data/rows.ts";
import { endOfTurn } from "../../data/sequences.ts";
import { encodePrompt } from "../../data/special-tokens.ts";
import { type ChatTemplate, plainTemplate, renderedAt, templateValues } from "../../data/template.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import type { ModelSizes } from "../../model/architecture.ts";

export interface Prompt {
  readonly text: string;
  readonly ids: readonly number[];
  /** File and line that it was read from; undefined of one on the command line. */
  readonly place?: string;
}

export interface PromptOptions {
  readonly prompt?: readonly string[] | undefined;
  /** A file of rows, or "-". */
  readonly prompts?: string | undefined;
  /** Columns of those rows. */
  readonly columns?: string | undefined;
  readonly chat: boolean;
  readonly system?: string | undefined;
}

/** Throws UserError for a system message that no prompt has a place for. */
export function checkSystem({ system, chat, prompts }: PromptOptions): void {
  if (system !== undefined && !chat && prompts === undefined) throw systemAlone();
}

const systemAlone = (place?: string): UserError =>
  new UserError(
    `${place === undefined ? "" : `${place}: `}--system has no effect without --chat on a prompt of plain text`,
    "give both or neither",
  );

/** Turns texts, messages and rows into tokens. */
export class PromptEncoder {
  readonly #options: PromptOptions;
  readonly #tokenizer: Tokenizer;
  readonly #template: ChatTemplate;

  constructor(options: PromptOptions, tokenizer: Tokenizer, template: ChatTemplate | undefined) {
    this.#options = options;
    this.#tokenizer = tokenizer;
    this.#template = template ?? plainTemplate(endOfTurn(tokenizer));
  }

  /** What a user says with --chat, else a text to continue. */
  text(text: string, place?: string): Prompt {
    if (this.#options.chat) return this.conversation([{ role: "user", content: text }], text, { place });
    if (this.#options.system !== undefined) throw systemAlone(place);
    return { text, ids: [...encodePrompt(this.#tokenizer, text)] };
  }

  /** A conversation that the model continues, after the message of --system; `text` stands for it in messages. */
  conversation(
    messages: readonly Message[],
    text: string,
    { place, extra = {} }: { readonly place: string | undefined; readonly extra?: JsonObject },
  ): Prompt {
    const { system } = this.#options;
    const before: Message[] = system === undefined ? [] : [{ role: "system", content: system }];
    const values = templateValues(extra);
    const rendered = renderedAt(place, () =>
      this.#template.render([...before, ...messages], { generationPrompt: true, values }),
    );
    return { text, ids: [...this.#tokenizer.encode(rendered, { special: false })] };
  }

  row(row: Row, place: string): Prompt {
    switch (row.form) {
      case "completion":
      case "prompt":
        return this.text(row.prompt, place);
      case "text":
        return this.text(row.text, place);
      case "tokens":
        return { text: this.#tokenizer.decode(row.inputIds), ids: [...row.inputIds] };
      case "preference":
        return typeof row.prompt === "string"
          ? this.text(row.prompt, place)
          : this.conversation(row.prompt, row.prompt.at(-1)?.content ?? "", { place, extra: row.extra });
      case "messages": {
        const isAnswered = row.messages.at(-1)?.role === "assistant";
        const messages = isAnswered ? row.messages.slice(0, -1) : row.messages;
        return this.conversation(messages, messages.at(-1)?.content ?? "", { place, extra: row.extra });
      }
      default:
        throw new UserError(
          `${place}: a row of ${row.form} is not a prompt`,
          "rows have prompt, text, messages or input_ids",
        );
    }
  }
}

/**
 * All prompts: those of `--prompt`, then `args`, then the rows of `--prompts`; without any the text of stdin, unless
 * the model comes from there. Throws UserError where there is none.
 */
export async function readPrompts(
  options: PromptOptions,
  { args, isStdinFree }: { readonly args: readonly string[]; readonly isStdinFree: boolean },
  { tokenizer, template }: { readonly tokenizer: Tokenizer; readonly template: ChatTemplate | undefined },
): Promise<Prompt[]> {
  const encoder = new PromptEncoder(options, tokenizer, template);
  const prompts = [...(options.prompt ?? []), ...args].map((text) => encoder.text(text));
  if (options.prompts !== undefined) {
    const columns = options.columns === undefined ? undefined : parseColumns(options.columns);
    for await (const { row, place } of readRows({ path: options.prompts, columns }))
      prompts.push({ ...encoder.row(row, place), place });
  }
  if (prompts.length === 0 && isStdinFree) {
    const text = (await Bun.stdin.text()).replace(/\r?\n$/, "");
    if (text !== "") prompts.push(encoder.text(text));
  }
  if (prompts.length === 0)
    throw new UserError("no prompt", 'write one after the model, or --prompt "TEXT", or --prompts rows.jsonl');
  return prompts;
}

/** Throws UserError, naming the row, for a prompt that the model `ref` cannot continue. */
export function checkPrompt({ ids, text, place }: Prompt, { maxPositions, outputs }: ModelSizes, ref: string): void {
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
