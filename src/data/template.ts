/**
 * Conversations to text: the model's own chat template through @huggingface/jinja (loaded only when there is one), or a
 * plain format: "user: Hello<eos>assistant: Hi<eos>".
 */

import { UserError } from "../errors.ts";
import { decodeText, isObject, type Json, type JsonObject } from "../json.ts";
import { PLAIN_TEMPLATE } from "./byte-tokenizer.ts";
import { jinjaTemplate, type Renderer } from "./chat/jinja.ts";
import { markGenerations, readMarks, type Span } from "./chat/marks.ts";
import type { Message } from "./rows.ts";
import { jsonFile, namedSpecialTokens } from "./special-tokens.ts";

export interface RenderOptions {
  /** Adds what precedes the assistant's next answer. */
  readonly generationPrompt?: boolean;
  /** What the row gives the template besides messages: tools, documents, settings. */
  readonly values?: JsonObject;
}

export interface ChatTemplate {
  readonly name: "plain" | "jinja";
  /** The text of a conversation. Throws UserError when the template refuses the messages. */
  render(messages: readonly Message[], options?: RenderOptions): string;
  /** With the parts that the template itself marks as written by the assistant; undefined where it marks none. */
  readonly marked?: (messages: readonly Message[], options?: RenderOptions) => { text: string; spans: Span[] };
}

/** `role: content` and `end`, the text of the token that ends a turn. */
export function plainTemplate(end: string): ChatTemplate {
  return {
    name: "plain",
    render: (messages, options) =>
      messages.map(({ role, content }) => `${role}: ${content}${end}`).join("") +
      (options?.generationPrompt ? "assistant: " : ""),
  };
}

/** What a row gives its template: `tools` and `documents` (as lists or as JSON), and `chat_template_kwargs`. */
export function templateValues({ tools, documents, chat_template_kwargs: settings }: JsonObject): JsonObject {
  return {
    ...(tools === undefined ? {} : { tools: listOf(tools) }),
    ...(documents === undefined ? {} : { documents: listOf(documents) }),
    ...(isObject(settings) ? settings : {}),
  };
}

function listOf(value: Json): Json {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value) as Json;
  } catch {
    return value;
  }
}

/** Runs a rendering; what the template refuses is said of the row at `place`, if there is one. */
export function renderedAt<T>(place: string | undefined, render: () => T): T {
  try {
    return render();
  } catch (error) {
    if (place === undefined || !(error instanceof UserError)) throw error;
    throw new UserError(`${place}: ${error.message}`, error.hint);
  }
}

const ROLES = ["bos_token", "eos_token", "pad_token", "unk_token"];

/**
 * The chat template among a checkpoint's files: chat_template.jinja, or `chat_template` of tokenizer_config.json (the
 * one named "default" if there are several; `tool_use` for rows with tools). Undefined when there is none. Throws
 * UserError, naming `what` and the file, when it cannot be read.
 */
export async function loadTemplate(
  files: ReadonlyMap<string, Uint8Array>,
  what: string,
): Promise<ChatTemplate | undefined> {
  const file = files.get("chat_template.jinja");
  const place = `${what}: ${file ? "chat_template.jinja" : "tokenizer_config.json: chat_template"}`;
  const sources = file
    ? { usual: decodeText(file, place), tools: undefined }
    : templatesOf(jsonFile(files, "tokenizer_config.json", what).chat_template);
  if (sources === undefined) return undefined;
  const named = namedSpecialTokens(files, what);
  const tokens = Object.fromEntries(ROLES.map((key) => [key, named(key) ?? ""]));
  if (sources.usual === PLAIN_TEMPLATE) return plainTemplate(tokens.eos_token!);
  const marked = markGenerations(sources.usual);
  const usual = await parsed(marked ?? sources.usual, place);
  const tools =
    sources.tools === undefined ? usual : await parsed(markGenerations(sources.tools) ?? sources.tools, place);
  const isMarked = marked !== undefined;
  const rendered = (messages: readonly Message[], { generationPrompt = false, values = {} }: RenderOptions = {}) => {
    const written = messages.map(({ role, content, fields }) => ({ role, content, ...fields }));
    return attempt(place, () => {
      const given = { ...tokens, ...values, messages: written, add_generation_prompt: generationPrompt };
      const text = (values.tools === undefined ? usual : tools).render(given);
      return isMarked ? readMarks(text, JSON.stringify(given)) : { text, spans: [] };
    });
  };
  return {
    name: "jinja",
    render: (messages, options) => rendered(messages, options).text,
    ...(marked === undefined ? {} : { marked: rendered }),
  };
}

/** Runs a step of the template; what goes wrong in it is said with `place`. */
function attempt<T>(place: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw failed(place, error);
  }
}

async function parsed(source: string, place: string): Promise<Renderer> {
  try {
    return await jinjaTemplate(source, place);
  } catch (error) {
    throw error instanceof UserError ? error : failed(place, error);
  }
}

function failed(place: string, error: unknown): UserError {
  const hint = "the template comes with the model; --template plain does without it";
  if (error instanceof UserError) return new UserError(`${place}: ${error.message}`, error.hint ?? hint);
  const tooDeep = error instanceof RangeError ? "the template nests too deep, or makes too much text" : undefined;
  return new UserError(`${place}: ${tooDeep ?? (error as Error).message}`, hint);
}

/** The template for most rows, and the one for rows with tools where there is one of its own. */
function templatesOf(value: Json | undefined): { usual: string; tools: string | undefined } | undefined {
  if (typeof value === "string") return { usual: value, tools: undefined };
  if (!Array.isArray(value)) return undefined;
  const sourceOf = (entry: JsonObject | undefined) =>
    typeof entry?.template === "string" ? entry.template : undefined;
  const named = value.filter(isObject);
  const usual = sourceOf(named.find(({ name }) => name === "default") ?? named[0]);
  return usual === undefined ? undefined : { usual, tools: sourceOf(named.find(({ name }) => name === "tool_use")) };
}
