/**
 * The chat template of a merge that chooses one: a text in Jinja, a form by its name, or `auto`, that of most models.
 * Forms are written here from their descriptions; the names are mergekit's.
 */
import { jinjaTemplate } from "../../data/chat/jinja.ts";
import { markGenerations } from "../../data/chat/marks.ts";
import { vocabularyOf } from "../../data/vocabulary.ts";
import { UserError } from "../../errors.ts";
import { type Json, parseJson } from "../../json.ts";
import type { NamedModel } from "../../model/names.ts";
import { editJson } from "../plan/json-edit.ts";

interface Form {
  /** What stands before a turn of each role, and after it. */
  readonly before: Readonly<Record<"system" | "user" | "assistant", string>>;
  readonly after: Readonly<Record<"system" | "user" | "assistant", string>>;
  /** Begins every conversation. */
  readonly start?: string;
  /** Tokens that must be in the vocabulary, or the form is spelled in pieces. */
  readonly tokens: readonly string[];
}

const each = (text: (role: string) => string) => ({
  system: text("system"),
  user: text("user"),
  assistant: text("assistant"),
});

const FORMS: Readonly<Record<string, Form>> = {
  chatml: {
    before: each((role) => `<|im_start|>${role}\n`),
    after: each(() => "<|im_end|>\n"),
    tokens: ["<|im_start|>", "<|im_end|>"],
  },
  llama3: {
    start: "<|begin_of_text|>",
    before: each((role) => `<|start_header_id|>${role}<|end_header_id|>\n\n`),
    after: each(() => "<|eot_id|>"),
    tokens: ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
  },
  mistral: {
    start: "<s>",
    before: { system: "[INST] ", user: "[INST] ", assistant: " " },
    after: { system: " [/INST]", user: " [/INST]", assistant: "</s>" },
    tokens: ["<s>", "</s>"],
  },
  alpaca: {
    before: { system: "", user: "### Instruction:\n", assistant: "### Response:\n" },
    after: each(() => "\n\n"),
    tokens: [],
  },
  exaone: {
    before: each((role) => `[|${role}|]`),
    after: { system: "[|endofturn|]\n", user: "\n", assistant: "[|endofturn|]\n" },
    tokens: ["[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"],
  },
};

/** Names that `chat_template` knows. */
export const TEMPLATE_NAMES: readonly string[] = ["auto", ...Object.keys(FORMS)];

const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\n", "\\n")}'`;

/** A form in Jinja. A role that it does not know is refused when a conversation is rendered. */
function jinjaOf({ start, before, after }: Form): string {
  const branch = (role: "system" | "user" | "assistant", first: boolean) =>
    `{%- ${first ? "if" : "elif"} message['role'] == '${role}' -%}` +
    `{{- ${quoted(before[role])} + message['content'] + ${quoted(after[role])} -}}`;
  return [
    ...(start === undefined ? [] : [`{{- ${quoted(start)} -}}`]),
    "{%- for message in messages -%}",
    branch("system", true),
    branch("user", false),
    branch("assistant", false),
    "{%- else -%}{{- raise_exception('unknown role ' + message['role']) -}}{%- endif -%}",
    "{%- endfor -%}",
    ...(before.assistant.trim() === ""
      ? []
      : [`{%- if add_generation_prompt -%}{{- ${quoted(before.assistant)} -}}{%- endif -%}`]),
  ].join("");
}

/** The template among the files of a model, in either of the two that hold it. */
export function templateOf(files: ReadonlyMap<string, Uint8Array>): Json | undefined {
  const own = files.get("chat_template.jinja");
  if (own) return new TextDecoder().decode(own);
  const bytes = files.get("tokenizer_config.json");
  if (!bytes) return undefined;
  try {
    const config = parseJson(new TextDecoder().decode(bytes), "tokenizer_config.json").value;
    return config !== null && typeof config === "object" && !Array.isArray(config) ? config.chat_template : undefined;
  } catch {
    return undefined; // told where the tokenizer is used
  }
}

/** The template that most models have; of several the donor's, else that of the first. */
function mostCommon(donor: NamedModel, models: readonly NamedModel[]): Json | undefined {
  const all = [donor, ...models.filter((model) => model !== donor)].flatMap(
    ({ checkpoint }) => templateOf(checkpoint.files) ?? [],
  );
  const counts = new Map<string, number>();
  for (const template of all) counts.set(JSON.stringify(template), (counts.get(JSON.stringify(template)) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return all.find((template) => counts.get(JSON.stringify(template)) === most);
}

/**
 * Sets the template of `wanted` in the files of the result. Throws UserError for what is neither a name nor Jinja.
 */
export function setTemplate(
  files: Map<string, Uint8Array>,
  wanted: string,
  { donor, models }: { readonly donor: NamedModel; readonly models: readonly NamedModel[] },
  warnings: string[],
): void {
  const form = Object.hasOwn(FORMS, wanted) ? FORMS[wanted] : undefined;
  const template = wanted === "auto" ? mostCommon(donor, models) : form ? jinjaOf(form) : wanted;
  if (template === undefined || JSON.stringify(template) === JSON.stringify(templateOf(files))) return;
  const vocabulary = vocabularyOf({ files });
  const missing = form && vocabulary ? form.tokens.filter((token) => !vocabulary.has(token)) : [];
  if (missing.length > 0)
    warnings.push(
      `chat_template ${wanted}: ${missing.join(", ")} are no tokens of the result, and are spelled in pieces`,
    );
  const config = files.get("tokenizer_config.json");
  const apart = files.has("chat_template.jinja") || config === undefined;
  if (apart && typeof template === "string") files.set("chat_template.jinja", new TextEncoder().encode(template));
  else {
    const text = config ? new TextDecoder().decode(config) : "{}";
    files.delete("chat_template.jinja");
    files.set("tokenizer_config.json", new TextEncoder().encode(editJson(text, ["chat_template"], template)));
  }
}

/** Throws UserError, made by `fail`, for a text that is neither a name nor a template. */
export async function checkTemplate(wanted: string, fail: (message: string, hint: string) => UserError): Promise<void> {
  if (TEMPLATE_NAMES.includes(wanted)) return;
  if (!/\{[{%]/.test(wanted))
    throw fail(`chat-template ${wanted} is no name and no template in Jinja`, `names are ${TEMPLATE_NAMES.join(", ")}`);
  try {
    await jinjaTemplate(markGenerations(wanted) ?? wanted, "chat-template");
  } catch (error) {
    if (error instanceof UserError) return; // without the library that reads templates they are written as they are
    const why = error instanceof TypeError ? "it ends within a block" : (error as Error).message;
    throw fail(`chat-template cannot be read as Jinja: ${why}`, "every {% for %} and {% if %} has its end");
  }
}
