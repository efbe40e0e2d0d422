/**
 * Task files of lm-evaluation-harness: the keys that are read, checked. Whatever else a file holds is refused by name,
 * because a key that is not followed changes the numbers.
 */
import fs from "node:fs";
import { parseYaml, type YamlDocument } from "../../checkpoint/lineage/recipe/yaml.ts";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { nearest } from "../../method/nearest.ts";
import type { FilterStep, MatchOptions } from "./matches.ts";
import type { TaskMetricName } from "./metrics.ts";
import type { Fields } from "./texts.ts";

export type OutputType = "multiple_choice" | "loglikelihood" | "loglikelihood_rolling" | "generate_until";

export interface TaskMetric {
  readonly name: string;
  readonly match: MatchOptions;
}

export interface TaskFile {
  readonly file: string;
  readonly name: string;
  readonly outputType: OutputType;
  readonly fields: Fields;
  /** Files by split. */
  readonly data: ReadonlyMap<string, readonly string[]>;
  /** The split that is evaluated, and the one that few-shot examples come from. */
  readonly split: string;
  readonly fewshotSplit: string;
  readonly fewshot: number;
  readonly targetDelimiter: string;
  readonly fewshotDelimiter: string;
  readonly until: readonly string[];
  readonly maxTokens: number;
  readonly metrics: readonly TaskMetric[];
  /** By name; one without steps named "none" where the file has no filters. */
  readonly filters: readonly { readonly name: string; readonly steps: readonly FilterStep[] }[];
}

/** Keys that are followed. */
export const READ_KEYS = [
  ...["task", "output_type", "dataset_path", "dataset_kwargs", "test_split", "validation_split", "training_split"],
  ...["fewshot_split", "doc_to_text", "doc_to_choice", "doc_to_target", "description", "target_delimiter"],
  ...["fewshot_delimiter", "num_fewshot", "fewshot_config", "generation_kwargs", "metric_list", "filter_list"],
];
/** Keys that change no number here. */
export const UNUSED_KEYS = [
  "tag",
  "group",
  "task_alias",
  "metadata",
  "should_decontaminate",
  "doc_to_decontamination_query",
];

const METRICS: Readonly<Record<OutputType, readonly TaskMetricName[]>> = {
  multiple_choice: ["acc", "acc_norm", "exact_match"],
  loglikelihood: ["perplexity", "acc"],
  loglikelihood_rolling: ["word_perplexity", "byte_perplexity", "bits_per_byte"],
  generate_until: ["exact_match"],
};
/** How metrics are averaged, where it is not the mean. */
const AGGREGATIONS: Readonly<Record<string, string>> = {
  perplexity: "perplexity",
  word_perplexity: "weighted_perplexity",
  byte_perplexity: "weighted_perplexity",
  bits_per_byte: "bits_per_byte",
};
const USUAL: Readonly<Record<OutputType, readonly string[]>> = { ...METRICS, multiple_choice: ["acc", "acc_norm"] };
const LOADERS = ["json", "csv", "parquet"];
const SAMPLER =
  "first_n takes the first rows of the split; random draws come from Python's generator, which is not here";
const MOST_BYTES = 2 ** 20;
const PLAIN: MatchOptions = { ignoreCase: false, ignorePunctuation: false, ignoreNumbers: false, ignored: [] };

/** Reads a task file. Throws UserError that names the key, with line and column. */
export async function readTaskFile(file: string): Promise<TaskFile> {
  let text: string;
  try {
    const stat = fs.statSync(file);
    if (!stat.isFile() || stat.size > MOST_BYTES)
      throw new UserError(`${file} is no task file: expected YAML of 1 MiB at most`);
    text = fs.readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${file} cannot be read: ${(error as Error).message}`, "give a task file, task.yml");
  }
  return parseTaskFile(text, file);
}

/** The same from a text. */
export async function parseTaskFile(text: string, file: string): Promise<TaskFile> {
  const tag = await foreignTag(text);
  if (tag !== undefined)
    throw new UserError(
      `${file}:${tag.line}: ${show(tag.name)} is code of Python, which is not run`,
      "write the field as a Jinja template or as the name of a column",
    );
  const documents = await parseYaml(text, file);
  if (documents.length !== 1) throw new UserError(`${file}: expected one task, found ${documents.length}`);
  return new Reader(documents[0]!, file).task();
}

/** The first tag that is none of YAML's own. */
async function foreignTag(text: string): Promise<{ name: string; line: number } | undefined> {
  const { LineCounter, parseAllDocuments, visit } = await import("yaml");
  const lines = new LineCounter();
  let found: { name: string; line: number } | undefined;
  try {
    for (const document of [parseAllDocuments(text, { lineCounter: lines, logLevel: "silent" })].flat())
      visit(document, {
        Node(_, { tag, range }) {
          if (tag && !tag.startsWith("tag:yaml.org,2002:") && tag !== "!")
            found ??= { name: tag, line: lines.linePos(range?.[0] ?? 0).line };
        },
      });
  } catch {
    return undefined; // too deep: parseYaml says so
  }
  return found;
}

class Reader {
  readonly #document: YamlDocument;
  readonly #file: string;
  readonly #map: Readonly<Record<string, unknown>>;

  constructor(document: YamlDocument, file: string) {
    if (!isMap(document.value))
      throw document.error([], "expected the keys of a task", `keys: ${READ_KEYS.join(", ")}`);
    [this.#document, this.#file, this.#map] = [document, file, document.value];
  }

  #fail = (key: string, expected: string): UserError =>
    this.#document.error([key], `${key}: expected ${expected}, found ${JSON.stringify(this.#map[key])?.slice(0, 60)}`);

  #text(key: string, fallback?: string): string {
    const value = this.#map[key] ?? fallback;
    if (typeof value !== "string") throw this.#fail(key, "a text");
    return value;
  }

  task(): TaskFile {
    for (const key of Object.keys(this.#map)) {
      if (READ_KEYS.includes(key) || UNUSED_KEYS.includes(key)) continue;
      const near = nearest(key, READ_KEYS);
      const hint = near ? `did you mean ${near}?` : `keys that are read: ${READ_KEYS.join(", ")}`;
      throw this.#document.error([key], `${key} is a key that is not read here`, hint);
    }
    const outputType = this.#text("output_type", "generate_until");
    if (!isOutputType(outputType)) throw this.#fail("output_type", `one of ${Object.keys(METRICS).join(", ")}`);
    const data = this.#data();
    const fewshotDelimiter = this.#text("fewshot_delimiter", "\n\n");
    const split = ["test_split", "validation_split"].map((key) => this.#split(key)).find((name) => name !== undefined);
    if (split === undefined) throw this.#document.error([], "the task has no test_split and no validation_split");
    return {
      file: this.#file,
      name: this.#text("task", "task"),
      outputType,
      fields: this.#fields(outputType),
      data,
      split,
      fewshotSplit:
        ["fewshot_split", "training_split", "validation_split"].map((key) => this.#split(key)).find((name) => name) ??
        split,
      fewshot: this.#fewshot(outputType),
      targetDelimiter: this.#text("target_delimiter", " "),
      fewshotDelimiter,
      ...this.#generation(outputType, fewshotDelimiter),
      metrics: this.#metrics(outputType),
      filters: this.#filters(outputType),
    };
  }

  #split(key: string): string | undefined {
    return this.#map[key] === undefined || this.#map[key] === null ? undefined : this.#text(key);
  }

  #fields(outputType: OutputType): Fields {
    const { doc_to_target: target, doc_to_choice: choices } = this.#map;
    if (typeof target !== "string" && typeof target !== "number" && !Array.isArray(target))
      throw this.#fail("doc_to_target", "a column, a template, a place or a list");
    const list = isMap(choices) ? Object.values(choices) : choices;
    const isTexts = Array.isArray(list) && list.every((one) => typeof one === "string");
    if (list !== undefined && typeof list !== "string" && !isTexts)
      throw this.#fail("doc_to_choice", "a column, a template or a list of texts");
    if (list === undefined && outputType === "multiple_choice")
      throw this.#document.error([], "multiple_choice needs doc_to_choice");
    return { text: this.#shown(list !== undefined), target, choices: list, description: this.#text("description", "") };
  }

  /** A place among choices is a text here; what it means is told by the rows. */
  #shown(hasChoices: boolean): string | number {
    const place = this.#map.doc_to_text;
    return hasChoices && Number.isInteger(place) ? (place as number) : this.#text("doc_to_text");
  }

  #data(): Map<string, readonly string[]> {
    const { dataset_path: loader, dataset_kwargs: kwargs } = this.#map;
    if (kwargs === undefined) return new Map();
    if (typeof loader !== "string" || !LOADERS.includes(loader)) throw this.#fail("dataset_path", LOADERS.join(", "));
    const expected = "data_files alone: a file, a list of files, or those of each split";
    if (!isMap(kwargs) || Object.keys(kwargs).join() !== "data_files") throw this.#fail("dataset_kwargs", expected);
    const files = isMap(kwargs.data_files) ? kwargs.data_files : { train: kwargs.data_files };
    return new Map(
      Object.entries(files).map(([split, value]) => {
        const list = [value].flat();
        if (list.length === 0 || !list.every((one) => typeof one === "string"))
          throw this.#fail("dataset_kwargs", expected);
        return [split, list as string[]];
      }),
    );
  }

  #fewshot(outputType: OutputType): number {
    const { num_fewshot: count = 0, fewshot_config: config } = this.#map;
    if (!Number.isInteger(count) || (count as number) < 0 || (count as number) > 1000)
      throw this.#fail("num_fewshot", "a number of examples");
    const { sampler, ...other } = isMap(config) ? config : {};
    if (config !== undefined && (!isMap(config) || Object.keys(other).length > 0))
      throw this.#fail("fewshot_config", "{sampler: first_n}");
    if (sampler !== undefined && sampler !== "first_n")
      throw this.#document.error(
        ["fewshot_config"],
        `fewshot_config: the sampler ${JSON.stringify(sampler)} is not here`,
        SAMPLER,
      );
    if (count !== 0 && sampler === undefined)
      throw this.#document.error(
        ["num_fewshot"],
        "num_fewshot needs fewshot_config: {sampler: first_n}, since the usual sampler draws at random",
        SAMPLER,
      );
    if (count !== 0 && outputType === "loglikelihood_rolling")
      throw this.#document.error(
        ["num_fewshot"],
        "num_fewshot: loglikelihood_rolling takes no examples",
        "leave it out",
      );
    return count as number;
  }

  #generation(outputType: OutputType, delimiter: string): { until: string[]; maxTokens: number } {
    const given = this.#map.generation_kwargs ?? {};
    if (!isMap(given) || (outputType !== "generate_until" && this.#map.generation_kwargs !== undefined))
      throw this.#fail("generation_kwargs", "until and max_gen_toks of a task that generates");
    const { until = [delimiter], max_gen_toks = 256, do_sample = false, temperature = 0, ...other } = given;
    const list = [until].flat();
    if (Object.keys(other).length > 0 || do_sample !== false || temperature !== 0)
      throw this.#fail("generation_kwargs", "until, max_gen_toks, do_sample: false and temperature: 0");
    if (!list.every((one) => typeof one === "string")) throw this.#fail("generation_kwargs", "until to be texts");
    if (!Number.isInteger(max_gen_toks) || (max_gen_toks as number) < 1)
      throw this.#fail("generation_kwargs", "max_gen_toks to be a number of tokens");
    return { until: (list as string[]).filter((one) => one !== ""), maxTokens: max_gen_toks as number };
  }

  #metrics(outputType: OutputType): TaskMetric[] {
    const { metric_list: list = USUAL[outputType].map((metric) => ({ metric })) } = this.#map;
    if (!Array.isArray(list) || list.length === 0) throw this.#fail("metric_list", "a list of metrics");
    return list.map((entry: unknown) => {
      const fail = (expected: string) =>
        this.#document.error(
          ["metric_list"],
          `metric_list: expected ${expected}, found ${JSON.stringify(entry)?.slice(0, 80)}`,
        );
      if (!isMap(entry)) throw fail("metric, aggregation and higher_is_better");
      const { metric, aggregation, higher_is_better: _, ...rest } = entry;
      const known: readonly string[] = METRICS[outputType];
      if (typeof metric !== "string" || !known.includes(metric))
        throw fail(`one of ${known.join(", ")} for ${outputType}`);
      const usual = AGGREGATIONS[metric] ?? "mean";
      if (aggregation !== undefined && aggregation !== usual) throw fail(`aggregation: ${usual}`);
      const { ignore_case, ignore_punctuation, ignore_numbers, regexes_to_ignore = [], ...other } = rest;
      const isText = outputType === "generate_until";
      if (Object.keys(isText ? other : rest).length > 0) throw fail("no further keys");
      if (!Array.isArray(regexes_to_ignore) || !regexes_to_ignore.every((one) => typeof one === "string"))
        throw fail("regexes_to_ignore to be a list of texts");
      const flag = (value: unknown) => {
        if (value !== undefined && typeof value !== "boolean") throw fail("true or false");
        return value ?? false;
      };
      const match = {
        ignoreCase: flag(ignore_case),
        ignorePunctuation: flag(ignore_punctuation),
        ignoreNumbers: flag(ignore_numbers),
        ignored: regexes_to_ignore as string[],
      };
      return { name: metric, match: isText ? match : PLAIN };
    });
  }

  #filters(outputType: OutputType): TaskFile["filters"] {
    const { filter_list: list } = this.#map;
    if (list === undefined) return [{ name: "none", steps: [] }];
    const expected = "names and filters (regex, take_first) of a task that generates";
    if (!Array.isArray(list) || list.length === 0 || outputType !== "generate_until")
      throw this.#fail("filter_list", expected);
    return list.map((entry: unknown) => {
      const steps = isMap(entry) && Array.isArray(entry.filter) ? entry.filter : undefined;
      if (!isMap(entry) || typeof entry.name !== "string" || !steps || Object.keys(entry).length !== 2)
        throw this.#fail("filter_list", expected);
      return { name: entry.name, steps: steps.map((step: unknown) => this.#step(step)) };
    });
  }

  #step(step: unknown): FilterStep {
    const fail = (expected: string) =>
      this.#document.error(
        ["filter_list"],
        `filter_list: expected ${expected}, found ${JSON.stringify(step)?.slice(0, 80)}`,
      );
    if (!isMap(step)) throw fail("a function");
    const { function: kind, regex_pattern, group_select = 0, fallback = "[invalid]", ...other } = step;
    if (kind === "take_first" && Object.keys(step).length === 1) return { kind };
    if (kind !== "regex" || Object.keys(other).length > 0)
      throw fail("take_first, or regex with regex_pattern, group_select and fallback");
    const pattern = regex_pattern ?? "#### (\\-?[0-9\\.\\,]+)";
    if (typeof pattern !== "string" || !Number.isInteger(group_select) || typeof fallback !== "string")
      throw fail("regex_pattern and fallback to be texts, group_select a place");
    return { kind, pattern, group: group_select as number, fallback };
  }
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isOutputType = (value: string): value is OutputType => Object.hasOwn(METRICS, value);
