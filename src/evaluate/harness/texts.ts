/**
 * What a task's fields make of its rows: texts, choices and targets, as lm-evaluation-harness reads them. A field is
 * the name of a column, or a Jinja template with the defaults of Python's library, where a name without a column is an
 * error.
 */
import { isObject, type Json, type JsonObject } from "../../json.ts";
import { parseList } from "./literal.ts";

export interface Fields {
  readonly text: string | number;
  readonly target: string | number | readonly Json[];
  readonly choices?: string | readonly string[] | undefined;
  readonly description: string;
}

export interface DocumentTexts {
  /** What is asked; of several inputs the right one. */
  readonly text: string;
  /** Places or texts; several where any of them is right. */
  readonly targets: readonly (string | number)[];
  readonly isList: boolean;
  /** Which of the choices is the right input, where choices are inputs: doc_to_text gives a place then. */
  readonly place?: number;
  readonly choices?: readonly string[];
  readonly description: string;
}

/** What is used of @huggingface/jinja. */
export interface Jinja {
  Template: new (source: string) => { parsed: unknown; render(values: Record<string, unknown>): string };
  parse(tokens: unknown): unknown;
  tokenize(source: string, options: object): unknown;
}

/** Names that templates know without a column. */
const KNOWN = new Set(["true", "false", "none", "True", "False", "None", "range", "loop", "namespace"]);

/** The texts of all rows. Throws Error whose message names the field and the row (from 1). */
export function textsOf(jinja: Jinja, fields: Fields, documents: readonly JsonObject[]): DocumentTexts[] {
  const columns = new Set(documents.flatMap((document) => Object.keys(document)));
  const field = (name: string, source: string) => {
    if (columns.has(source)) return (document: JsonObject) => document[source];
    return template(jinja, name, source, columns);
  };
  const text = typeof fields.text === "string" ? field("doc_to_text", fields.text) : () => fields.text;
  const target = typeof fields.target === "string" ? field("doc_to_target", fields.target) : () => fields.target;
  const choice = typeof fields.choices === "string" ? field("doc_to_choice", fields.choices) : () => fields.choices;
  const isShown = typeof fields.text === "string" && !columns.has(fields.text);
  const isRendered = typeof fields.target === "string" && !columns.has(fields.target);
  const description = template(jinja, "description", fields.description, columns);
  return documents.map((document, i) => {
    try {
      const choices = fields.choices === undefined ? undefined : choicesOf(choice(document) as Json);
      const stated = target(document) as Json;
      const found = targetsOf(isRendered && typeof stated === "string" ? readTarget(stated, choices) : stated);
      const shown = placeAmong(choices, text(document) as Json, isShown);
      if (typeof shown !== "string" && typeof shown !== "number")
        throw new Error(`doc_to_text should be a text, found ${JSON.stringify(shown)?.slice(0, 40)}`);
      if (typeof shown === "number" && choices)
        return { text: choices[shown] ?? "", place: shown, ...found, choices, description: description(document) };
      return { text: String(shown), ...found, ...(choices && { choices }), description: description(document) };
    } catch (error) {
      throw new Error(`row ${i + 1}: ${(error as Error).message}`);
    }
  });
}

function template(jinja: Jinja, name: string, source: string, columns: ReadonlySet<string>) {
  const made = new jinja.Template("");
  try {
    // Template itself trims blocks, and the reader takes a last line end away.
    made.parsed = jinja.parse(jinja.tokenize(source.endsWith("\n") ? `${source}\n` : source, {}));
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}`);
  }
  const missing = unknownNames(made.parsed, columns)[0];
  if (missing !== undefined) throw new Error(`${name} names ${missing}, and the rows have no such column`);
  return (document: JsonObject): string => {
    try {
      return made.render(document);
    } catch (error) {
      throw new Error(`${name}: ${(error as Error).message}`);
    }
  };
}

/** Names that a parsed template uses, and that neither it nor the rows define. */
function unknownNames(program: unknown, columns: ReadonlySet<string>): string[] {
  const used: string[] = [];
  const defined = new Set<string>();
  const define = (node: unknown): void => {
    if (Array.isArray(node)) for (const each of node) define(each);
    else if (isNode(node)) {
      if (node.type === "Identifier") defined.add(String(node.value));
      else define(node.value);
    }
  };
  const walk = (node: unknown): void => {
    if (Array.isArray(node)) for (const each of node) walk(each);
    if (!isNode(node)) return;
    if (node.type === "Identifier") used.push(String(node.value));
    const skipped = new Set(node.type === "MemberExpression" && !node.computed ? ["property"] : SKIPPED[node.type]);
    for (const key of DEFINING[node.type] ?? []) define(node[key]);
    for (const [key, value] of Object.entries(node)) {
      const isCall = key === "filter" && isNode(value) && value.type === "CallExpression";
      if (isCall) walk([value.args]);
      else if (!skipped.has(key)) walk(value);
    }
  };
  walk(program);
  return used.filter((name) => !defined.has(name) && !columns.has(name) && !KNOWN.has(name));
}

type Node = Readonly<Record<string, unknown>> & { readonly type: string };
const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof (value as Node).type === "string";
/** Parts of nodes that are no names of values, and those that define names. */
const SKIPPED: Readonly<Record<string, readonly string[]>> = {
  FilterExpression: ["filter"],
  TestExpression: ["test"],
  KeywordArgumentExpression: ["key"],
};
const DEFINING: Readonly<Record<string, readonly string[]>> = {
  Set: ["assignee"],
  For: ["loopvar"],
  Macro: ["name", "args"],
};

function choicesOf(value: Json): string[] {
  const list = typeof value === "string" ? parseList(value) : isObject(value) ? Object.values(value) : value;
  if (!Array.isArray(list) || list.length === 0 || list.some((one) => typeof one !== "string" || one === ""))
    throw new Error(`doc_to_choice should give a list of texts, found ${JSON.stringify(value)?.slice(0, 60)}`);
  return list as string[];
}

/** Digits that a template wrote are a place, where there are choices. */
const placeAmong = (choices: readonly string[] | undefined, value: Json, isRendered: boolean): Json =>
  choices && isRendered && typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;

/** What a template wrote: a place among choices, a list, or else a text. */
function readTarget(text: string, choices: readonly string[] | undefined): Json {
  if (choices !== undefined && /^\d+$/.test(text)) return Number(text);
  return parseList(text) ?? text;
}

function targetsOf(value: Json) {
  const isList = Array.isArray(value);
  const targets = isList ? value : [value];
  if (targets.length === 0 || targets.some((one) => typeof one !== "string" && typeof one !== "number"))
    throw new Error(`doc_to_target should give a text or a place, found ${JSON.stringify(value)?.slice(0, 60)}`);
  return { targets: targets as (string | number)[], isList };
}
