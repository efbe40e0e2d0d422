/**
 * A task file made ready: its rows as requests to a model, and what the model's answers are worth. Contexts, delimiters
 * and numbers are those of lm-evaluation-harness, https://github.com/EleutherAI/lm-evaluation-harness
 */
import fs from "node:fs";
import path from "node:path";
import type { GroupReference } from "../../data/groups.ts";
import { readValues } from "../../data/read-rows.ts";
import type { Sequence } from "../../data/sequences.ts";
import { encodePrompt } from "../../data/special-tokens.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import type { BoundMetric } from "../../run/measuring/metric.ts";
import { encodeContinuation } from "../../run/scoring/continuations.ts";
import { cutRemarks, type Question, type Reader, type TextData } from "../../run/scoring/read-rows.ts";
import type { ScoredRow } from "../../run/scoring/scored-row.ts";
import { bounded } from "./bounded.ts";
import { contextsOf, rightPlaces, wordsOf } from "./contexts.ts";
import { rollingWindows } from "./rolling.ts";
import { metricsOf, scoresOf } from "./scores.ts";
import { readTaskFile, type TaskFile } from "./task-file.ts";
import type { DocumentTexts } from "./texts.ts";

/** A task that models can be asked. */
export interface Task {
  /** One group: the rows of the split that is evaluated. */
  readonly groups: readonly GroupReference[];
  /** Every file that is read. */
  readonly files: readonly string[];
  readonly metrics: readonly BoundMetric[];
  /** The rows as a model reads them. Throws UserError for a model without a tokenizer and rows that do not fit. */
  read(reader: Reader): TextData;
  /** Adds what each row is worth. */
  finish(rows: readonly ScoredRow[]): Promise<ScoredRow[]>;
}

/** Reads the task file and its rows. `data` stands for the files that it names: one a split, or one for the split. */
export async function loadTask(file: string, data: readonly GroupReference[]): Promise<Task> {
  const task = await readTaskFile(file);
  refuseUnused(task, data);
  const rows = await readSplit(task, task.split, data);
  const shots = task.fewshot === 0 ? undefined : await readSplit(task, task.fewshotSplit, data);
  const places = rows.places;
  const texts = await textsOf(task, rows.documents);
  const examples = shots && (await textsOf(task, shots.documents));
  const asked = texts.map((text, i) => ({ text, document: rows.documents[i]!, place: places[i]! }));
  const contexts = contextsOf(task, asked, examples && { texts: examples, documents: shots!.documents });
  const requests = asked.map((each, i) => ({ ...each, context: contexts[i]! }));
  return {
    groups: [{ name: task.name, path: rows.files[0]! }],
    files: [file, ...rows.files, ...(shots?.files ?? [])],
    metrics: metricsOf(task),
    read: (reader) => dataOf(task, requests, reader),
    finish: (scored) => scoresOf(task, texts, scored),
  };
}

async function textsOf(
  { file, fields }: TaskFile,
  documents: readonly JsonObject[],
): Promise<readonly DocumentTexts[]> {
  const answer = await bounded(file, { kind: "texts", fields, documents });
  return "texts" in answer ? answer.texts : [];
}

/** Throws UserError for data that is of no split. */
function refuseUnused({ split, fewshotSplit, fewshot }: TaskFile, data: readonly GroupReference[]): void {
  const splits = fewshot > 0 ? [split, fewshotSplit] : [split];
  const odd = data.length > 1 ? data.find(({ name }) => !splits.includes(name)) : undefined;
  if (odd)
    throw new UserError(
      `--data ${odd.name}: the task reads ${splits.join(" and ")}, and no split of that name`,
      `name the split: --data ${split}=${odd.path}`,
    );
}

interface Split {
  readonly documents: readonly JsonObject[];
  readonly places: readonly string[];
  readonly files: readonly string[];
}

async function readSplit(task: TaskFile, split: string, data: readonly GroupReference[]): Promise<Split> {
  const named =
    data.find(({ name }) => name === split) ?? (split === task.split && data.length === 1 ? data[0] : undefined);
  const stated = task.data.get(split);
  if (!named && !stated)
    throw new UserError(
      `${task.file}: there are no files for the split ${split}`,
      `name them in dataset_kwargs: {data_files: {${split}: rows.jsonl}}, or give --data ${split}=rows.jsonl`,
    );
  const files = named ? [named.path] : stated!.map((name) => besideOf(task.file, name));
  const [documents, places]: [JsonObject[], string[]] = [[], []];
  for (const file of files) {
    for await (const { value, place } of readValues(file)) {
      if (!isObject(value)) throw new UserError(`${place}: expected an object with the task's columns`);
      documents.push(value);
      places.push(place);
    }
  }
  return { documents, places, files };
}

/** A file that a task file names: beside it, or else where the command runs. */
function besideOf(task: string, name: string): string {
  if (name.startsWith("hf:") || path.isAbsolute(name)) return name;
  const beside = path.join(path.dirname(task), name);
  return fs.existsSync(beside) ? beside : name;
}

interface TaskRequest {
  readonly text: DocumentTexts;
  readonly context: string;
  readonly place: string;
}

/** What a model is asked. */
function dataOf(task: TaskFile, requests: readonly TaskRequest[], { tools, sizes, ref }: Reader): TextData {
  const tokenizer = tools?.tokenizer;
  if (!tools || !tokenizer) throw new UserError(`--task needs a language model with a tokenizer; ${ref} has none`);
  checkInputs(task, requests);
  const maxLength = tools.encode.maxLength ?? Number.POSITIVE_INFINITY;
  if (task.outputType === "generate_until") {
    const most = (sizes.maxPositions > 0 ? sizes.maxPositions : Number.POSITIVE_INFINITY) - task.maxTokens;
    if (most < 1)
      throw new UserError(
        `${task.file}: max_gen_toks ${task.maxTokens} leaves no room for a prompt in ${sizes.maxPositions} positions`,
        "lower it in generation_kwargs",
      );
    return questionsOf(task, requests, (text) => [...encodePrompt(tokenizer, text)], most);
  }
  if (task.outputType === "loglikelihood_rolling") return rollingOf(requests, tokenizer, maxLength);
  const cut: string[] = [];
  const parts = requests.map(({ text, context, place }) => {
    const list = pairsOf(task, text, context).map(([before, after]) =>
      encodeContinuation(before, after, { tokenizer, maxLength, group: 0, place }),
    );
    const isWhole = list.every((part) => part.isWhole);
    if (!isWhole && task.outputType === "loglikelihood")
      throw new UserError(`${place}: the target has more than ${maxLength} tokens`, "raise --max-length");
    if (isWhole && list.some(({ isCut }) => isCut)) cut.push(place);
    return { list, isWhole, text };
  });
  const sequences = parts.flatMap(({ list }) => list.map(({ sequence }) => sequence));
  const remarks = cutRemarks(cut, maxLength);
  if (task.outputType === "loglikelihood") return { kind: "text", sequences, remarks };
  let first = 0;
  const choices = parts.map(({ list, isWhole, text }) => {
    const bytes = text.choices!.map((choice) => Buffer.byteLength(choice));
    first += list.length;
    return { group: 0, first: first - list.length, count: list.length, answer: 0, bytes, isWhole };
  });
  const odd = requests.filter(({ text }) => rightPlaces(text).length === 0);
  const lost = `rows whose target is none of their choices count as wrong: ${odd.length}, the first is ${odd[0]?.place}`;
  return { kind: "text", sequences, choices, remarks: [...remarks, ...(odd.length > 0 ? [lost] : [])] };
}

/**
 * What stands before each continuation, and the continuation: choices follow a delimiter, or are inputs that the target
 * follows; the target of a log-likelihood brings its own delimiter.
 */
function pairsOf(task: TaskFile, text: DocumentTexts, context: string): [before: string, after: string][] {
  if (task.outputType === "loglikelihood") return [[context, wordsOf(text, text.targets[0]!)]];
  if (text.place === undefined) return text.choices!.map((choice) => [context, task.targetDelimiter + choice]);
  return text.choices!.map((choice) => [context + choice, task.targetDelimiter + text.targets[0]]);
}

/** The windows of every row's text; a row's windows are read as its choices are. */
function rollingOf(requests: readonly TaskRequest[], tokenizer: Tokenizer, maxLength: number): TextData {
  const sequences: Sequence[] = [];
  const choices = requests.map(({ text, place }) => {
    const [target] = text.targets;
    if (text.isList || typeof target !== "string")
      throw new UserError(`${place}: doc_to_target should give a text`, "loglikelihood_rolling scores a whole text");
    const windows = rollingWindows(target, { tokenizer, maxLength, place });
    const first = sequences.length;
    sequences.push(...windows);
    return { group: 0, first, count: windows.length, answer: 0, bytes: [], isWhole: true };
  });
  return { kind: "text", sequences, choices };
}

/** Throws UserError where choices are inputs in some rows only, or the text behind them is none. */
function checkInputs(task: TaskFile, requests: readonly TaskRequest[]): void {
  if (task.outputType !== "multiple_choice") return;
  const several = requests.filter(({ text }) => text.place !== undefined);
  if (several.length > 0 && several.length < requests.length) {
    const odd = requests.find(({ text }) => text.place === undefined)!;
    throw new UserError(`${odd.place}: doc_to_text gives a text here, and a place among the choices in other rows`);
  }
  const odd = several.find(({ text }) => text.isList || typeof text.targets[0] !== "string");
  if (odd)
    throw new UserError(
      `${odd.place}: doc_to_target should give the text behind each input`,
      "doc_to_text gives a place among the choices, so these are inputs",
    );
}

function questionsOf(
  task: TaskFile,
  requests: readonly TaskRequest[],
  encode: (text: string) => number[],
  most: number,
): TextData {
  const cut: string[] = [];
  const questions = requests.map(({ text, context, place }): Question => {
    const ids = encode(context);
    if (ids.length > most) cut.push(place);
    if (ids.length === 0) throw new UserError(`${place}: the prompt is empty`, "a model continues what is there");
    return {
      ids: ids.slice(Math.max(0, ids.length - most)),
      expected: wordsOf(text, text.targets[0]!),
      group: 0,
      place,
    };
  });
  const generation = { maxTokens: task.maxTokens, stop: task.until };
  return { kind: "text", sequences: [], questions, generation, remarks: cutRemarks(cut, most) };
}
