/**
 * A row of a data set: what one line of JSONL may hold, checked.
 *
 *   {"text": "..."}                                   a document
 *   {"prompt": "...", "completion": "..."}            the loss counts the completion only
 *   {"prompt": "..."}                                 a question: it can be answered but not learned
 *   {"messages": [{"role": "user", "content": ".."}]} a conversation; the loss counts what the assistant says
 *   {"input_ids": [..], "labels": [..]}               tokens as they are; labels optional, -100 is ignored
 *   {"x": [..], "label": 3}                           a vector and its class
 *   {"image": [[..], ..], "label": 3}                 an image (H, W) or (H, W, channels) and its class
 *
 * Other keys are kept in `extra` for whoever knows them (paraphrases, wrong answers, the name of a person).
 */

import { UserError } from "../errors.ts";
import { isObject, type Json, type JsonObject, show } from "../json.ts";

/** One turn of a conversation. */
export interface Message {
  readonly role: string;
  readonly content: string;
}

/** The label of a token, or of a row, that the loss leaves out. */
export const IGNORED = -100;

interface Common {
  /** Keys of the row that its form does not use. */
  readonly extra: Readonly<Record<string, Json>>;
}

export type Row = Common &
  (
    | { readonly form: "text"; readonly text: string }
    | { readonly form: "prompt"; readonly prompt: string }
    | { readonly form: "completion"; readonly prompt: string; readonly completion: string }
    | { readonly form: "messages"; readonly messages: readonly Message[] }
    | { readonly form: "tokens"; readonly inputIds: Int32Array; readonly labels?: Int32Array }
    | { readonly form: "example"; readonly x: Float32Array; readonly shape: readonly number[]; readonly label: number }
  );

/** A row and where it was read. */
export interface LocatedRow {
  readonly row: Row;
  /** File and line, as messages name them: "rows.jsonl:12". */
  readonly place: string;
}

export const ROW_FORMS =
  "text, prompt and completion, messages, input_ids (with labels or without), x and label, or image and label";

/** Keys that make up each form. A row has a form when it has all the keys of `needs`. */
const FORMS = [
  { needs: ["text"], keys: ["text"] },
  { needs: ["prompt", "completion"], keys: ["prompt", "completion"] },
  { needs: ["messages"], keys: ["messages"] },
  { needs: ["input_ids"], keys: ["input_ids", "labels"] },
  { needs: ["x", "label"], keys: ["x", "label"] },
  { needs: ["image", "label"], keys: ["image", "label"] },
] as const;

/** Checks one row. Throws UserError that begins with `place` (file and line) and says what was found. */
export function parseRow(value: Json, place: string): Row {
  if (!isObject(value)) {
    throw new UserError(`${place}: expected an object, found ${kindOf(value)}`, `a row holds ${ROW_FORMS}`);
  }
  const found = FORMS.filter(({ needs }) => needs.every((key) => Object.hasOwn(value, key)));
  const [form, other] = found;
  if (form === undefined && Object.hasOwn(value, "prompt")) {
    const { prompt: _, ...extra } = value;
    return { form: "prompt", prompt: stringAt(value, "prompt", place), extra };
  }
  if (form === undefined) {
    throw new UserError(`${place}: unknown row with ${keysOf(value)}`, `a row holds ${ROW_FORMS}`);
  }
  if (other !== undefined) {
    const names = `${form.needs.join(" and ")} as well as ${other.needs.join(" and ")}`;
    throw new UserError(`${place}: the row has ${names}`, "keep the one that is meant and rename the other");
  }
  const used: readonly string[] = form.keys;
  const extra = Object.fromEntries(Object.entries(value).filter(([key]) => !used.includes(key)));
  switch (form.needs[0]) {
    case "text":
      return { form: "text", text: stringAt(value, "text", place), extra };
    case "prompt":
      return {
        form: "completion",
        prompt: stringAt(value, "prompt", place),
        completion: stringAt(value, "completion", place),
        extra,
      };
    case "messages":
      return { form: "messages", messages: messagesOf(value.messages!, place), extra };
    case "input_ids":
      return { form: "tokens", ...tokensOf(value, place), extra };
    default:
      return { form: "example", ...exampleOf(value, form.needs[0], place), extra };
  }
}

function kindOf(value: Json | undefined): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  if (typeof value === "object") return "an object";
  return value === undefined ? "nothing" : `the ${typeof value} ${show(JSON.stringify(value).slice(0, 60))}`;
}

function keysOf(row: JsonObject): string {
  const keys = Object.keys(row);
  if (keys.length === 0) return "no keys";
  const listed = keys.slice(0, 8).map(show).join(", ");
  return `the keys ${listed}${keys.length > 8 ? ` and ${keys.length - 8} more` : ""}`;
}

function stringAt(row: JsonObject, key: string, place: string): string {
  const value = row[key];
  if (typeof value !== "string") {
    throw new UserError(`${place}: ${key} should be a string, found ${kindOf(value)}`, "write it in quotes");
  }
  return value;
}

function messagesOf(value: Json, place: string): Message[] {
  const hint = 'messages are written [{"role": "user", "content": "..."}, ...]';
  if (!Array.isArray(value) || value.length === 0) {
    throw new UserError(`${place}: messages should be a list of messages, found ${kindOf(value)}`, hint);
  }
  return value.map((message, i) => {
    if (!isObject(message)) {
      throw new UserError(`${place}: message ${i + 1} should be an object, found ${kindOf(message)}`, hint);
    }
    const { role, content } = message;
    if (typeof role !== "string" || typeof content !== "string") {
      const [key, found] = typeof role === "string" ? ["content", content] : ["role", role];
      throw new UserError(`${place}: ${key} of message ${i + 1} should be a string, found ${kindOf(found)}`, hint);
    }
    return { role, content };
  });
}

function tokensOf(row: JsonObject, place: string): { inputIds: Int32Array; labels?: Int32Array } {
  const inputIds = integers(row.input_ids!, "input_ids", 0, place);
  if (inputIds.length === 0) throw new UserError(`${place}: input_ids is empty`, "leave the row out");
  if (row.labels === undefined) return { inputIds };
  const labels = integers(row.labels, "labels", IGNORED, place);
  if (labels.length !== inputIds.length) {
    throw new UserError(
      `${place}: ${labels.length} labels for ${inputIds.length} input_ids`,
      "give one label per token; -100 leaves a token out of the loss",
    );
  }
  const odd = labels.findIndex((label) => label < 0 && label !== IGNORED);
  if (odd >= 0) {
    throw new UserError(
      `${place}: label ${labels[odd]} at position ${odd} is not a token`,
      "-100 is the label that is ignored",
    );
  }
  return { inputIds, labels };
}

function integers(value: Json, key: string, least: number, place: string): Int32Array {
  if (!Array.isArray(value)) {
    throw new UserError(`${place}: ${key} should be a list of integers, found ${kindOf(value)}`);
  }
  const out = new Int32Array(value.length);
  for (let i = 0; i < out.length; i++) {
    const item = value[i];
    if (typeof item !== "number" || !Number.isInteger(item) || item < least || item > 0x7fffffff) {
      throw new UserError(
        `${place}: ${key} should be a list of integers of at least ${least}, found ${kindOf(item)} at position ${i}`,
      );
    }
    out[i] = item;
  }
  return out;
}

function exampleOf(row: JsonObject, key: "x" | "image", place: string) {
  const label = row.label!;
  if (typeof label !== "number" || !Number.isInteger(label) || label < 0 || label > 0x7fffffff) {
    throw new UserError(`${place}: label should be a class (0, 1, ...), found ${kindOf(label)}`);
  }
  const shape: number[] = [];
  for (let level: Json | undefined = row[key]; Array.isArray(level); level = level[0]) shape.push(level.length);
  const [least, most, wanted] =
    key === "x" ? [1, 1, "a list of numbers"] : [2, 3, "rows of pixels, or rows of pixels of channels"];
  if (shape.length < least || shape.length > most || shape.includes(0)) {
    const found = shape.length === 0 ? kindOf(row[key]) : `a list of shape (${shape.join(", ")})`;
    throw new UserError(`${place}: ${key} should be ${wanted}, found ${found}`);
  }
  const x = new Float32Array(shape.reduce((a, b) => a * b));
  let at = 0;
  const fill = (level: Json | undefined, depth: number): void => {
    if (depth === shape.length) {
      if (typeof level !== "number") {
        throw new UserError(`${place}: ${key} should hold numbers, found ${kindOf(level)} at position ${at}`);
      }
      x[at++] = level;
      return;
    }
    if (!Array.isArray(level) || level.length !== shape[depth]) {
      const found = Array.isArray(level) ? `one of ${level.length}` : kindOf(level);
      throw new UserError(`${place}: ${key} begins with a list of ${shape[depth]} values, but has ${found} beside it`);
    }
    for (const item of level) fill(item, depth + 1);
  };
  fill(row[key], 0);
  return key === "x" ? { x, shape, label } : { ...channelsFirst(x, shape), label };
}

/** An image (H, W) or (H, W, C) as models take it: (C, H, W). */
function channelsFirst(
  x: Float32Array,
  [h = 0, w = 0, c = 1]: readonly number[],
): { x: Float32Array; shape: number[] } {
  const turned = new Float32Array(x.length);
  for (let channel = 0; channel < c; channel++) {
    for (let i = 0; i < h * w; i++) turned[channel * h * w + i] = x[i * c + channel]!;
  }
  return { x: turned, shape: [c, h, w] };
}
