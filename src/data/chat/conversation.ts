/**
 * Conversations to tokens, of which counts what the assistant writes.
 *
 * Where a template marks that itself (`{% generation %}`), the marks decide. Else a turn begins where the conversation
 * before it ends, rendered with a generation prompt, and ends where the conversation up to it ends. Templates that
 * write a turn differently when others follow (they take out the thinking of earlier turns) have no such prefixes;
 * there a turn is found by what changes in the text when the turn says something else. The token that ends a turn
 * counts.
 */
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import { IGNORED, type Message } from "../rows.ts";
import { isSpecial } from "../special-tokens.ts";
import { type ChatTemplate, renderedAt, templateValues } from "../template.ts";
import type { Tokenizer } from "../tokenizer.ts";
import type { Span } from "./marks.ts";

/** Which turns of the assistant count: all, the last, or each in a sequence that ends with it. */
export type Turns = "all" | "last" | "each";

export interface ConversationOptions {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  readonly turns?: Turns | undefined;
  /** Whether a message of the assistant may count; all may when left out. */
  readonly speaks?: ((message: Message) => boolean) | undefined;
  /** Called where no token ends an answer, so that no end is learned. */
  readonly endless?: ((place: string) => void) | undefined;
}

export interface Tokens {
  readonly ids: Int32Array;
  readonly labels: Int32Array;
}

/** What is tokenized: `countsFrom` is the first message that may count. */
export interface Conversation {
  readonly messages: readonly Message[];
  readonly countsFrom?: number;
  readonly extra: JsonObject;
}

/** The sequences of a conversation. Throws UserError that begins with `place`. */
export function encodeConversation(
  { messages, countsFrom = 0, extra }: Conversation,
  place: string,
  options: ConversationOptions,
): Tokens[] {
  const { speaks = () => true } = options;
  const scored = [...messages.keys()].filter(
    (i) => messages[i]!.role === "assistant" && i >= countsFrom && speaks(messages[i]!),
  );
  const values = templateValues(extra);
  const encode = (length: number, counted: readonly number[]) =>
    new Rendering(messages.slice(0, length), values, place, options).tokens(counted);
  if (options.turns === "each" && scored.length > 0) return scored.map((i) => encode(i + 1, [i]));
  return [encode(messages.length, options.turns === "last" ? scored.slice(-1) : scored)];
}

/** How many tokens two lists have in common at their start. */
export function agreement(a: Int32Array, b: Int32Array): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/** A letter of the private use area that a text does not have: a text that has it agrees up to it and no further. */
function letterNotIn(text: string): string {
  let code = 0xe000;
  while (text.includes(String.fromCharCode(code))) code++;
  return String.fromCharCode(code);
}

/** A conversation as text and tokens, and where its turns stand. */
class Rendering {
  readonly #messages: readonly Message[];
  readonly #values: JsonObject;
  readonly #place: string;
  readonly #options: ConversationOptions;
  readonly #text: string;
  readonly #ids: Int32Array;
  /** What was seen to end a turn. */
  readonly #endings = new Set<string>();

  constructor(messages: readonly Message[], values: JsonObject, place: string, options: ConversationOptions) {
    this.#messages = messages;
    this.#values = values;
    this.#place = place;
    this.#options = options;
    this.#text = renderedAt(place, () => options.template.render(messages, { values }));
    this.#ids = options.tokenizer.encode(this.#text);
  }

  /** The tokens, of which those of the messages `counted` count. */
  tokens(counted: readonly number[]): Tokens {
    const labels = new Int32Array(this.#ids.length).fill(IGNORED);
    const marks = this.#marked(counted);
    const ranges = marks ? marks.map((span) => this.#range(span)) : counted.map((i) => this.#turn(i));
    for (const { from, to } of ranges) labels.set(this.#ids.subarray(from, to), from);
    return { ids: this.#ids, labels };
  }

  /** The spans that the template marks for those messages; undefined where it marks none. */
  #marked(counted: readonly number[]): Span[] | undefined {
    const { marked } = this.#options.template;
    const spans = marked && renderedAt(this.#place, () => marked(this.#messages, { values: this.#values }).spans);
    if (!marked || !spans || spans.length === 0) return undefined;
    const turns = [...this.#messages.keys()].filter((i) => this.#messages[i]!.role === "assistant");
    if (spans.length === turns.length) return counted.map((i) => spans[turns.indexOf(i)]!);
    const first = counted[0];
    if (first === undefined) return [];
    const before = renderedAt(
      this.#place,
      () => marked(this.#messages.slice(0, first), { values: this.#values }).spans,
    );
    return spans.slice(before.length);
  }

  /** The tokens of a part of the text. A token across its beginning is part of it. */
  #range({ from, to }: Span): Span {
    const { tokenizer } = this.#options;
    const at = (end: number) => agreement(tokenizer.encode(this.#text.slice(0, end)), this.#ids);
    return { from: at(from), to: to === this.#text.length ? this.#ids.length : at(to) };
  }

  /** The tokens of message `i`, with the one that ends it. */
  #turn(i: number): Span {
    const before = this.#prefix(i, true);
    const after = i === this.#messages.length - 1 ? this.#text : this.#prefix(i + 1);
    const isPrefix = (text: string | undefined) => text !== undefined && this.#text.startsWith(text);
    if (!isPrefix(before) || !isPrefix(after) || after!.length < before!.length) return this.#rewritten(i, before);
    const { from, to } = this.#range({ from: before!.length, to: after!.length });
    const said = this.#messages[i]!.content.trim();
    const isOpen = said !== "" && this.#text.slice(before!.length, after!.length).endsWith(said);
    return { from, to: isOpen ? this.#oneMore(to) : to };
  }

  /** The token after an answer that nothing ends: what begins the next turn ends it. */
  #oneMore(to: number): number {
    if (to < this.#ids.length) return to + 1;
    this.#options.endless?.(this.#place);
    return to;
  }

  /** The tokens of a message that the template writes otherwise than where it is the last. */
  #rewritten(i: number, before: string | undefined): Span {
    const said = this.#changing(i, this.#messages, this.#text);
    if (said === undefined)
      throw new UserError(
        `${this.#place}: the chat template does not write message ${i + 1}`,
        "leave the message out, or give --template plain",
      );
    const from = this.#beginning(i, before, said.from);
    const range = this.#range({ from, to: said.to });
    if (i === this.#messages.length - 1 && said.to < this.#text.length) return { ...range, to: this.#ids.length };
    const end = this.#ending(i, said.to);
    if (end === "") return { ...range, to: this.#oneMore(range.to) };
    if (this.#text.startsWith(end, said.to)) return this.#range({ from, to: said.to + end.length });
    return { ...range, to: this.#throughSpecial(range.to) };
  }

  /** Where message `i` begins: behind the generation prompt, where that stands between it and the message before. */
  #beginning(i: number, before: string | undefined, said: number): number {
    if (before !== undefined && this.#text.startsWith(before)) return before.length;
    const without = this.#prefix(i);
    if (before === undefined || without === undefined || !before.startsWith(without)) return said;
    const prompt = before.slice(without.length);
    const found = prompt === "" ? -1 : this.#text.lastIndexOf(prompt, said - prompt.length);
    const earlier = this.#messages[i - 1]?.content.trim() ?? "";
    return found >= this.#text.lastIndexOf(earlier, said) + earlier.length ? found + prompt.length : said;
  }

  /** What the template writes behind message `i` where it is the last. `to` is where its content ends in the text. */
  #ending(i: number, to: number): string {
    for (const end of this.#endings) if (this.#text.startsWith(end, to)) return end;
    const alone = this.#messages.slice(0, i + 1);
    const whole = this.#prefix(i + 1);
    const said = whole === undefined ? undefined : this.#changing(i, alone, whole);
    const end = whole === undefined || said === undefined ? "" : whole.slice(said.to);
    if (end !== "") this.#endings.add(end);
    return end;
  }

  /** The place behind the next special token. */
  #throughSpecial(to: number): number {
    const { tokenizer } = this.#options;
    const rest = this.#ids.subarray(to);
    const next = rest.findIndex((id) => isSpecial(tokenizer, id));
    return next < 0 ? to : to + next + 1;
  }

  /** The part of a text of `messages` that changes when message `i` says something else; undefined where none does. */
  #changing(i: number, messages: readonly Message[], text: string): Span | undefined {
    const other = this.#changed(i, messages, letterNotIn(text));
    if (other === text) return undefined;
    const from = sharedStart(text, other);
    return { from, to: Math.max(from, text.length - sharedEnd(text, other)) };
  }

  /** The text where message `i` says something else: nothing but that, or, if the template minds, with its calls. */
  #changed(i: number, messages: readonly Message[], content: string): string {
    const { role, fields } = messages[i]!;
    const calls = fields?.tool_calls;
    const other = { role, content };
    const others = calls === undefined ? [other] : [other, { ...other, fields: { tool_calls: calls } }];
    for (const message of others) {
      const text = this.#attempt(messages.toSpliced(i, 1, message));
      if (text !== undefined) return text;
    }
    throw new UserError(
      `${this.#place}: the chat template writes message ${i + 1} differently when other messages follow it`,
      "so it is not known which tokens count; give --turns each, or --template plain",
    );
  }

  /** The text of the first messages; undefined where the template refuses them. */
  #prefix(length: number, generationPrompt = false): string | undefined {
    return this.#attempt(this.#messages.slice(0, length), generationPrompt);
  }

  #attempt(messages: readonly Message[], generationPrompt = false): string | undefined {
    try {
      return this.#options.template.render(messages, { generationPrompt, values: this.#values });
    } catch (error) {
      if (error instanceof UserError) return undefined;
      throw error;
    }
  }
}

function sharedStart(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

function sharedEnd(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a[a.length - 1 - n] === b[b.length - 1 - n]) n++;
  return n;
}
