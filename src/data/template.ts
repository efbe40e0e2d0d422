/**
 * Conversations to text: the model's own chat template through @huggingface/jinja (loaded only when there is one), or a
 * plain format: "user: Hello<eos>assistant: Hi<eos>".
 */

import { UserError } from "../errors.ts";
import { decodeText, isObject, type Json, parseJson } from "../json.ts";
import { library } from "../library.ts";
import { PLAIN_TEMPLATE } from "./byte-tokenizer.ts";
import type { Message } from "./rows.ts";
import { specialToken } from "./special-tokens.ts";

export interface ChatTemplate {
  readonly name: "plain" | "jinja";
  /**
   * The text of a conversation; with `generationPrompt`, also what precedes the assistant's next answer. Throws
   * UserError when the template refuses the messages.
   */
  render(messages: readonly Message[], options?: { generationPrompt?: boolean }): string;
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

/**
 * The chat template among a checkpoint's files: chat_template.jinja, or `chat_template` of tokenizer_config.json (the
 * one named "default" if there are several). Undefined when there is none. Throws UserError, naming `what`, when it
 * cannot be read.
 */
export async function loadTemplate(
  files: ReadonlyMap<string, Uint8Array>,
  what: string,
): Promise<ChatTemplate | undefined> {
  const configPlace = `${what}: tokenizer_config.json`;
  const configBytes = files.get("tokenizer_config.json");
  const config = configBytes && parseJson(decodeText(configBytes, configPlace), configPlace).value;
  const settings = isObject(config) ? config : {};
  const file = files.get("chat_template.jinja");
  const source = file ? decodeText(file, `${what}: chat_template.jinja`) : templateOf(settings.chat_template);
  if (source === undefined) return undefined;
  const tokens = Object.fromEntries(
    ["bos_token", "eos_token", "pad_token", "unk_token"].map((key) => [key, specialToken(settings, key) ?? ""]),
  );
  if (source === PLAIN_TEMPLATE) return plainTemplate(tokens.eos_token!);
  const { Template } = await library<JinjaLibrary>("@huggingface/jinja", `${what}: its chat template`);
  const failed = (error: unknown) =>
    new UserError(
      `${what}: chat template: ${(error as Error).message}`,
      "the template comes with the model; --template plain does without it",
    );
  let template: { render(values: Record<string, unknown>): string };
  try {
    template = new Template(source);
  } catch (error) {
    throw failed(error);
  }
  return {
    name: "jinja",
    render(messages, options) {
      try {
        return template.render({ ...tokens, messages, add_generation_prompt: options?.generationPrompt ?? false });
      } catch (error) {
        throw failed(error);
      }
    },
  };
}

/** What is used of @huggingface/jinja. */
interface JinjaLibrary {
  Template: new (source: string) => { render(values: Record<string, unknown>): string };
}

function templateOf(value: Json | undefined): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.filter(isObject);
  const chosen = named.find(({ name }) => name === "default") ?? named[0];
  return typeof chosen?.template === "string" ? chosen.template : undefined;
}
