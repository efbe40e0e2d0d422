/**
 * `merge --groups`: a merge within each group of tasks, rather than one over all, for tasks that are in conflict. After
 * Zheng et al., ACL 2025, https://arxiv.org/abs/2502.11223, whose rule within a group is taken to be that of any merge.
 *
 *   theta_G = MERGE(theta0, {theta_i : i in G})
 *
 * A group of one keeps its model as it is. `evaluate --probe conflict_synergy` says which tasks are in conflict.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { recipeDtype } from "../../checkpoint/lineage/recipe/read-recipe.ts";
import { parseYaml, type YamlDocument } from "../../checkpoint/lineage/recipe/yaml.ts";
import { finishedAt } from "../../checkpoint/write/occupied.ts";
import type { Outcome, PlainContext } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json, show } from "../../json.ts";
import { flagOf, type Options } from "../../method/options.ts";
import { loadMethod } from "../../method/registry.ts";
import { quote } from "../../text/quote.ts";
import { repeated } from "../../text/repeated.ts";
import { recipeFromArguments } from "../plan/arguments.ts";
import { TUNING } from "../tuning/options.ts";
import { type Context, type GivenRecipes, readRecipes, recipeText, textOf } from "./given-recipes.ts";
import { isPlain } from "./named-results.ts";

/** The table of tasks, in the folder of the groups. */
export const GROUPS_FILE = "groups.json";

export interface TaskGroup {
  readonly name: string;
  /** A task and the model that was tuned on it. */
  readonly members: readonly { readonly task: string; readonly model: string }[];
}

/** The task of a model that is named alone: the last part of its path. */
const taskOf = (model: string): string => basename(model.replace(/\/+$/, "")).replace(/\.(safetensors|gguf)$/, "");

function membersOf(document: YamlDocument, name: string, given: Json | undefined): TaskGroup["members"] {
  const listed = Array.isArray(given) ? given.map((model, i) => [i, model] as const) : undefined;
  const entries = listed ?? (isObject(given) ? Object.entries(given) : []);
  if (entries.length === 0)
    throw document.error([name], `the group ${show(name)} names no models`, `write ${name}: [a/, b/]`);
  return entries.map(([key, model]) => {
    if (typeof model !== "string" || model === "" || model === "-")
      throw document.error(
        [name, key],
        `${JSON.stringify(model)} names no model that can be read twice`,
        "name a path",
      );
    return { task: typeof key === "string" ? key : taskOf(model), model };
  });
}

/**
 * Reads `name: [model, …]` or `name: {task: model, …}`. Throws UserError, with file and line, for what is neither, a
 * name that is no folder, and a task that is in two groups.
 */
export async function readGroups(text: string, file: string): Promise<TaskGroup[]> {
  const [document, ...more] = await parseYaml(text, file);
  const value = document?.value as Json | undefined;
  if (document === undefined || !isObject(value) || more.length > 0)
    throw new UserError(`${file} is no table of groups`, "write a line for each: romance: {fr: fr/, es: es/}");
  const groups = Object.entries(value).map(([name, given]) => {
    if (!isPlain(name) || name === GROUPS_FILE)
      throw document.error([name], `the group ${show(name)} cannot be a folder`, "take letters, digits and dashes");
    return { name, members: membersOf(document, name, given) };
  });
  const twice = repeated(groups.flatMap(({ members }) => members.map(({ task }) => task)));
  if (twice !== undefined)
    throw new UserError(`${file} names the task ${twice} twice`, "name tasks apart, as {fr: a/model, es: b/model}");
  return groups;
}

/** Throws UserError for what does not go with groups. */
function refuseOthers(context: Context): void {
  const { options, args } = context;
  const odd = ["search", "multi", "check", "shard"].find((name) => Boolean(options[name]));
  if (odd !== undefined)
    throw new UserError(`${flagOf(odd)} is for one merge, and --groups makes several`, "merge a group by its models");
  if (args.length > 0 || context.recipe !== undefined)
    throw new UserError("--groups names the models itself", `leave out ${args.join(" ") || context.recipe!}`);
  if (!context.method) throw new UserError("--groups needs the --method of every group", "for example --method ties");
  if (context.out === "-" && !context.dryRun && !options.explain)
    throw new UserError("--groups gives a folder of checkpoints", "give -o groups/");
}

/** Throws UserError where a checkpoint would be lost. */
function refuseStanding({ out, options }: Context, groups: readonly TaskGroup[]): void {
  if (out === "-" || options.overwrite) return;
  const places = [out, ...groups.map(({ name }) => join(out, name))];
  const found = places.map(finishedAt).find((place) => place !== undefined);
  const file = join(out, GROUPS_FILE);
  const there = found ?? (existsSync(file) ? file : undefined);
  if (there !== undefined)
    throw new UserError(`--out: ${there} is there already`, "write to another place, or give --overwrite");
}

/** Data of the group's own tasks to learn coefficients on, and of what is no task of any. */
function ownData(given: unknown, { members }: TaskGroup, tasks: ReadonlySet<string>): unknown {
  if (!Array.isArray(given)) return given;
  const own = new Set(members.map(({ task }) => task));
  return given.filter((text: string) => {
    const name = text.includes("=") ? text.slice(0, text.indexOf("=")) : undefined;
    return name === undefined || !tasks.has(name) || own.has(name);
  });
}

/** The options of a group of one: none that a merge learns by. */
const unlearning = Object.fromEntries(Object.entries(TUNING as Options).map(([name, spec]) => [name, spec.default]));

/** The run of one group: its context, and how its recipe is read. */
function runOf(context: Context, group: TaskGroup, tasks: ReadonlySet<string>) {
  const { members, name } = group;
  const [alone, ...more] = members;
  const options = {
    ...context.options,
    groups: undefined,
    json: context.options.json && context.dryRun,
    tune_data: ownData(context.options.tune_data, group, tasks),
    ...(more.length === 0 && { ...unlearning, coefficients: undefined }),
  };
  const out = context.out === "-" ? "-" : join(context.out, name);
  const found: unknown[] = [];
  const json = (value: unknown) => void found.push(value);
  const own = { ...context, options, out, args: members.map(({ model }) => model), json };
  if (more.length > 0) return { own, found, read: readRecipes };
  const read = async (): Promise<GivenRecipes> => {
    const method = await loadMethod("merge", "passthrough", "merge_method");
    const [dtype, outDtype] = [textOf(context, "dtype"), textOf(context, "out_dtype")].map((text) =>
      text === undefined ? undefined : recipeDtype(text),
    );
    const types = { ...(dtype && { dtype }), ...(outDtype && { outDtype }) };
    return { recipes: [recipeFromArguments({ models: [alone!.model], method, ...types })], text: undefined };
  };
  return { own: { ...own, raw: new Map<string, string>(), set: [], picks: {} }, found, read };
}

type Run = (
  context: PlainContext & { readonly options: object },
  read: (context: Context) => Promise<GivenRecipes>,
) => Promise<Outcome>;

/** The table of a run: where the checkpoint of every task is, from the folder of the groups. */
const tableOf = (groups: readonly TaskGroup[]) => ({
  tasks: Object.fromEntries(
    groups.flatMap(({ name, members }) =>
      members.map(({ task, model }) => [task, { group: name, checkpoint: `${name}/`, of: model }]),
    ),
  ),
});

/** Merges within each group, after all have been planned. Throws UserError before anything is written. */
export async function mergeGroups(context: Context, run: Run): Promise<Outcome> {
  refuseOthers(context);
  const file = textOf(context, "groups")!;
  const groups = await readGroups(recipeText(file), file);
  refuseStanding(context, groups);
  const tasks = new Set(groups.flatMap(({ members }) => members.map(({ task }) => task)));
  const runs = groups.map((group) => ({ group, ...runOf(context, group, tasks) }));
  const reports = context.dryRun || context.options.explain === true;
  for (const { group, own, read } of runs) {
    const print = (text: string) => reports && context.print(`${group.name}:\n${text}`);
    const silent = { info: () => {}, warn: reports ? own.warn : () => {} };
    await run({ ...own, ...silent, print, dryRun: true }, read);
  }
  const table = tableOf(groups);
  if (reports) {
    context.json({
      ...table,
      groups: Object.fromEntries(runs.map(({ group, found }) => [group.name, found[0] ?? null])),
    });
    return {};
  }
  for (const { group, own, read } of runs) {
    const { members, name } = group;
    if (members.length === 1) context.info(`${name} is one model, which stays as it is: ${members[0]!.model}`);
    await run(own, read);
  }
  mkdirSync(context.out, { recursive: true });
  writeFileSync(join(context.out, GROUPS_FILE), `${JSON.stringify(table, null, 2)}\n`);
  context.json({ out: context.out, ...table });
  return {
    output: `${context.out} (${groups.length} groups of ${tasks.size} tasks, told in ${GROUPS_FILE})`,
    next: `bun run inspect ${quote(join(context.out, groups[0]!.name))}`,
  };
}
