/**
 * mergekit-evolve's YAML: a `genome` (models, method, granularity, filters) and `tasks` with weights. Tasks are names
 * of a harness there; here each is a group of local rows, `--data NAME=path`.
 * https://github.com/arcee-ai/mergekit
 */
import { parseYaml, type YamlDocument } from "../../checkpoint/lineage/recipe/yaml.ts";
import { UserError } from "../../errors.ts";
import { bindDefaults } from "../../method/bind.ts";
import { didYouMean } from "../../method/nearest.ts";
import { loadMethod } from "../../method/registry.ts";
import type { MergeMethod } from "../contract.ts";
import type { Objective } from "./objective.ts";
import type { SearchRange } from "./ranges.ts";
import type { RecipeDocument } from "./recipe-document.ts";

export interface Genome {
  readonly document: RecipeDocument;
  readonly method: MergeMethod;
  readonly ranges: readonly SearchRange[];
  readonly granularity: number;
  readonly smooth: boolean;
  readonly objectives: readonly Objective[];
  /** What is there and changes nothing here. */
  readonly ignored: readonly string[];
}

const KEYS = [
  ...["models", "merge_method", "base_model", "tokenizer_source", "layer_granularity", "normalize"],
  ...["allow_negative_weights", "filters", "smooth"],
];

const TASK_KEYS = ["name", "weight", "metric"];

/** What its search varies, of the parameters that a method has. */
const VARIED = ["weight", "density", "t"];

/** How its tasks are measured: lm-evaluation-harness's names of metrics, without the filter behind the comma. */
const METRICS: Readonly<Record<string, { metric: string; values?: Readonly<Record<string, unknown>> }>> = {
  acc: { metric: "choice" },
  acc_norm: { metric: "choice", values: { normalise: "bytes" } },
  exact_match: { metric: "exact-match" },
};

/** Whether a YAML text is such a file. */
export const isGenome = (text: string): boolean => /^genome:/m.test(text);

class GenomeReader {
  readonly #document: YamlDocument;

  constructor(document: YamlDocument) {
    this.#document = document;
  }

  fail(path: readonly (string | number)[], message: string, hint?: string): UserError {
    return this.#document.error(path, message, hint);
  }

  fields(value: unknown, path: readonly (string | number)[]): Record<string, unknown> {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    throw this.fail(path, `${path.at(-1) ?? "the file"} must be a map`);
  }

  known(fields: object, path: readonly (string | number)[], keys: readonly string[]): void {
    const odd = Object.keys(fields).find((key) => !keys.includes(key));
    if (odd === undefined) return;
    throw this.fail([...path, odd], `unknown key ${odd}`, didYouMean(odd, keys) ?? `known: ${keys.join(", ")}`);
  }

  list(value: unknown, path: readonly (string | number)[]): unknown[] {
    if (Array.isArray(value) && value.length > 0) return value;
    throw this.fail(path, `${path.at(-1)} must be a list with at least one entry`);
  }

  boolean(value: unknown, path: readonly (string | number)[]): boolean {
    if (value === undefined || value === null) return false;
    if (typeof value === "boolean") return value;
    throw this.fail(path, `${path.at(-1)} must be true or false`);
  }
}

/** Ranges of the genome's numbers: weights from 0 (or -1) to 1, densities above 0, places from 0 to 1. */
function rangesOf(method: MergeMethod, filters: readonly string[], isSigned: boolean): SearchRange[] {
  return VARIED.filter((parameter) => Object.hasOwn(method.options, parameter)).flatMap((parameter) => {
    const low = parameter === "density" ? 0.01 : parameter === "weight" && isSigned ? -1 : 0;
    const among = { kind: "real", low, high: 1 } as const;
    return [...filters.map((filter) => ({ parameter, filter, among })), { parameter, among }];
  });
}

/** A task as an objective. In mergekit the weighted values themselves are made large. */
async function objectiveOf(reader: GenomeReader, value: unknown, at: number): Promise<Objective> {
  const path = ["tasks", at];
  const fields = reader.fields(value, path);
  reader.known(fields, path, TASK_KEYS);
  const { name, weight = 1, metric: typed = "acc,none" } = fields;
  if (typeof name !== "string" || typeof typed !== "string" || typeof weight !== "number")
    throw reader.fail(path, "a task has a name, and may have a weight and a metric");
  const [bare] = typed.split(",");
  const known = METRICS[bare!] ?? { metric: bare! };
  const method = await loadMethod("metric", known.metric, "tasks").catch((error) => {
    if (!(error instanceof UserError)) throw error;
    throw reader.fail([...path, "metric"], `unknown metric ${typed}`, error.hint);
  });
  const sign = method.better === "lower" ? -1 : 1;
  return {
    name: `${method.name}@${name}`,
    metric: bindDefaults(method, known.values),
    group: name,
    weight: sign * weight,
  };
}

/** Throws UserError for tasks without rows, and for rows of no task. */
function bindTasks(reader: GenomeReader, objectives: readonly Objective[], groups: readonly string[]): Objective[] {
  for (const [i, { group }] of objectives.entries())
    if (!groups.includes(group))
      throw reader.fail(
        ["tasks", i],
        `the task ${group} has no rows`,
        `tasks of a harness are local rows here: --data ${group}=rows.jsonl`,
      );
  const unused = groups.find((group) => objectives.every((objective) => objective.group !== group));
  if (unused !== undefined)
    throw new UserError(
      `no task is called ${unused}`,
      `the tasks are ${objectives.map(({ group }) => group).join(", ")}`,
    );
  // The only group is that of all rows.
  return objectives.map((objective) => (groups.length === 1 ? { ...objective, group: "all" } : objective));
}

/**
 * Reads such a file. `groups` are the names of the local rows. Throws UserError that names the place of a mistake, and
 * for a task without rows.
 */
export async function readGenome(text: string, file: string, groups: readonly string[]): Promise<Genome> {
  const [document, ...more] = await parseYaml(text, file);
  if (!document || more.length > 0) throw new UserError(`${file} is not one genome`, "write one document");
  const reader = new GenomeReader(document);
  const { genome, tasks, ...others } = reader.fields(document.value, []);
  const given = reader.fields(genome, ["genome"]);
  reader.known(given, ["genome"], KEYS);
  const { base_model: base, merge_method: name, layer_granularity: granularity = 0 } = given;
  if (typeof name !== "string") throw reader.fail(["genome"], "merge_method is missing", "for example dare_ties");
  if (!Number.isSafeInteger(granularity) || (granularity as number) < 0)
    throw reader.fail(["genome", "layer_granularity"], "layer_granularity must be a whole number of layers, 0 for all");
  const method = await loadMethod("merge", name, "merge_method");
  const models = reader.list(given.models, ["genome", "models"]);
  const filters = given.filters ? reader.list(given.filters, ["genome", "filters"]).map(String) : [];
  const isSigned = reader.boolean(given.allow_negative_weights, ["genome", "allow_negative_weights"]);
  const ranges = rangesOf(method, filters, isSigned);
  if (ranges.length === 0)
    throw reader.fail(["genome", "merge_method"], `${name} has no ${VARIED.join(", ")}`, "use --search-space");
  const share = Object.hasOwn(method.options, "weight") ? { parameters: { weight: 1 / models.length } } : {};
  const objectives = await Promise.all(reader.list(tasks, ["tasks"]).map((task, i) => objectiveOf(reader, task, i)));
  return {
    document: {
      merge_method: name,
      ...(base === undefined || base === null ? {} : { base_model: base }),
      models: models.map((model) => ({ model, ...share })),
      ...(typeof given.normalize === "boolean" && { parameters: { normalize: given.normalize } }),
      rest: given.tokenizer_source === undefined ? {} : { tokenizer_source: given.tokenizer_source },
    },
    method,
    ranges,
    granularity: granularity as number,
    smooth: reader.boolean(given.smooth, ["genome", "smooth"]),
    objectives: bindTasks(reader, objectives, groups),
    ignored: Object.keys(others),
  };
}
