/** Where the results of `merge --search` go: recipes, a checkpoint, a table; and what is planned. */
import fs from "node:fs";
import path from "node:path";
import { parseRecipe } from "../../checkpoint/lineage/recipe/read-recipe.ts";
import type { Recipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import type { Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { flagOf } from "../../method/options.ts";
import { hostMemoryText } from "../../run/host-memory.ts";
import { countData } from "../../run/scoring/read-rows.ts";
import type { Point } from "../../run/searching/contract.ts";
import { humanBytes } from "../../text/format.ts";
import { quote } from "../../text/quote.ts";
import { table } from "../../text/table.ts";
import { counted } from "../plan/notes.ts";
import { bestTrial, frontOf, measuresText, trialName, trialTable } from "../search/result.ts";
import { samePoint } from "../search/run-search.ts";
import type { RecipeSpace } from "../search/search-space.ts";
import { type SearchIdentity, type Trial, trialJson } from "../search/trial-file.ts";
import { plannedMemory, type RunnerSetup } from "../search/trial-runner.ts";
import { type Context, textOf } from "./given-recipes.ts";
import type { SearchQuestion } from "./search-question.ts";

/** What a search found. */
export interface Found extends Omit<SearchQuestion, "trials"> {
  readonly space: RecipeSpace;
  readonly recipe: Recipe;
  readonly identity: SearchIdentity;
  readonly trials: readonly Trial[];
  /** Points that the search keeps beside the front. */
  readonly archive: readonly { readonly name: string; readonly point: Point }[];
  readonly seconds: number;
}

interface Writer {
  readonly merge: (context: Context, recipe: Recipe, text: string, target: string) => Promise<{ bytes: number }>;
}

/** Throws UserError for places that hold something else, or that the search reads. */
export function checkPlaces(context: Context, { groups, pareto, trials, share }: SearchQuestion): void {
  const recipes = textOf(context, "recipes");
  const inputs = [...groups.map((group) => group.path), ...trials];
  if (recipes !== undefined) {
    refuseInputs(recipes, [...inputs, ...context.args], "--recipes");
    const stat = fs.statSync(recipes, { throwIfNoEntry: false });
    if (pareto && stat && !stat.isDirectory())
      throw new UserError(`--recipes ${recipes} is a file, and a front has several recipes`, "name a folder");
    if (pareto && stat && fs.readdirSync(recipes).length > 0 && context.options.overwrite !== true)
      throw new UserError(`--recipes ${recipes} is not empty`, "name another folder, or give --overwrite");
    if (!pareto && stat?.isDirectory())
      throw new UserError(
        `--recipes ${recipes} is a folder`,
        `name a file: --recipes ${path.join(recipes, "best.yml")}`,
      );
  }
  if (pareto && recipes === undefined && context.out === "-" && share === undefined && !context.dryRun)
    throw new UserError("the recipes of a front have no place", "give --recipes DIR, -o MODEL, or both");
  if (share && (recipes !== undefined || context.out !== "-"))
    throw new UserError(
      "--trial makes a share of the trials and no result",
      "leave out -o and --recipes; a last step with all --trials and without --trial has them",
    );
}

/** Options beside a recipe that change its merge, as a command line has them. */
function flagsOf(context: Context, seed: number): string {
  const { options, picks } = context;
  const post = picks.post?.[0];
  const given = ["files", "align", "compat_rounding", "compat_bugs", "allow_duplicates", "allow_missing"].flatMap(
    (name) =>
      options[name] === undefined || options[name] === false
        ? []
        : [options[name] === true ? flagOf(name) : `${flagOf(name)} ${quote(String(options[name]))}`],
  );
  const values = Object.entries(post?.values ?? {}).filter(([, value]) => value !== undefined);
  const step = post && [`--post ${post.method.name}`, ...values.map(([name, value]) => `${flagOf(name)} ${value}`)];
  return [...(seed === 0 ? [] : [`--seed ${seed}`]), ...given, ...(step ?? [])].map((text) => ` ${text}`).join("");
}

/** The YAML of a trial's recipe, with where it comes from. */
function yamlOf(
  context: Context,
  { space, search, budget, objectives, identity }: Found,
  trial: Trial,
): Promise<string> {
  const flags = flagsOf(context, identity.seed);
  return space.recipe(trial.point, [
    `trial ${trialName(trial)} of merge --search ${search.method.name} --budget ${budget} --seed ${identity.seed}: ${measuresText(trial, objectives)}`,
    ...(flags === "" ? [] : [`its merge has the options${flags}`]),
  ]);
}

function writeText(file: string, text: string): void {
  const target = textOutput(file);
  target.write(text);
  target.commit();
}

/**
 * What a merge of the recipe file alone would be given: what the recipe says is no option of it, so that both have one
 * lineage.
 */
const asRecipe = (context: Context): Context => ({
  ...context,
  raw: new Map(),
  set: [],
  options: Object.fromEntries(
    Object.entries(context.options).filter(
      ([name]) => !["tokenizer_source", "pad_to_multiple_of", "chat_template"].includes(name),
    ),
  ) as Context["options"],
});

/** Writes the recipes and the checkpoint, and tells what was found. Throws UserError where no trial has a score. */
export async function writeResult(context: Context, found: Found, { merge }: Writer): Promise<Outcome> {
  const { trials, objectives, space, pareto, share, seconds, identity, search } = found;
  const json = (value: object) =>
    context.json({ search: search.method.name, trials: trials.length, seconds, ...value });
  if (share) {
    json({ share: `${share.worker + 1}/${share.of}`, written: found.trials.length });
    return { output: `${counted(trials.length, "trial")} in ${textsOf(context)}` };
  }
  const best = bestTrial(trials, objectives);
  if (!best)
    throw new UserError(
      `none of ${trials.length} trials could be measured${trials[0]?.failed === undefined ? "" : `: ${trials[0].failed}`}`,
      "search other ranges, or evaluate the models by themselves",
      1,
    );
  const front = pareto ? frontOf(trials, objectives) : [];
  const rows = pareto
    ? front.map((trial) => ({ label: trialName(trial), trial }))
    : [
        { label: `${trialName(best)}, the best`, trial: best },
        ...(trials[0] === best ? [] : [{ label: "0", trial: trials[0]! }]),
      ];
  const told = trialTable(rows, objectives, space.space);
  const recipes = textOf(context, "recipes");
  const text = await yamlOf(context, found, best);
  if (recipes !== undefined && pareto) {
    fs.mkdirSync(recipes, { recursive: true });
    for (const trial of front)
      writeText(path.join(recipes, `trial-${trialName(trial)}.yml`), await yamlOf(context, found, trial));
    await writeArchive(context, found, recipes);
  } else if (recipes !== undefined) writeText(recipes, text);
  const written = context.out === "-" ? undefined : await writeCheckpoint(context, text, recipes, merge);
  const trialJsons = (list: readonly Trial[]) => list.map((trial) => trialJson(trial, identity));
  json({
    best: trialJson(best, identity),
    ...(pareto && { front: trialJsons(front) }),
    ...(recipes !== undefined && { recipes }),
    ...(written && { out: context.out, ...written }),
  });
  if (pareto) context.log.event("front", { objectives: objectives.map(({ name }) => name), trials: trialJsons(front) });
  if (written || recipes !== undefined) context.print(told);
  else {
    context.info(told);
    context.text(text);
  }
  const places = [
    ...(recipes === undefined ? [] : [recipes]),
    ...(written ? [`${context.out} (${humanBytes(written.bytes)})`] : []),
  ];
  return { ...(places.length > 0 && { output: places.join(", ") }), told: measuresText(best, objectives) };
}

/** The recipes of the points that a search keeps, each in the folder that its name has. */
async function writeArchive(context: Context, found: Found, folder: string): Promise<void> {
  for (const { name, point } of found.archive) {
    const trial = found.trials.find((one) => samePoint(one.point, point))!;
    const parts = name.split("/").map((part) => part.replaceAll(/[^\w@.-]/g, "_"));
    const file = path.join(folder, "archive", ...parts);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    writeText(`${file}.yml`, await yamlOf(context, found, trial));
  }
}

const textsOf = ({ options }: Context): string => ((options.trials as string[] | undefined) ?? []).join(", ");

async function writeCheckpoint(context: Context, text: string, recipes: string | undefined, merge: Writer["merge"]) {
  const [recipe] = await parseRecipe(text, recipes ?? "the best recipe");
  return merge(asRecipe(context), recipe!, text, context.out);
}

/** What a search would do, for machines and for people. */
export async function planText(setup: RunnerSetup, question: SearchQuestion & { readonly identity: SearchIdentity }) {
  const { search, budget, objectives, groups, method } = question;
  const { data, space, keep } = setup;
  const memory = await plannedMemory(setup, method);
  const counts = countData(data, groups.length);
  const rows = groups.map(({ name }, i) => ({ group: name, ...counts[i]! }));
  const names = space.space.map(({ name }) => name);
  const text = table([
    ["search", `${search.method.name}, ${budget} trials of ${names.length} numbers`],
    ["varies", names.length > 12 ? `${names.slice(0, 12).join(", ")}, …` : names.join(", ")],
    ["objectives", objectives.map(({ name, weight }) => `${name} times ${weight}`).join(", ")],
    ...rows.map(({ group, rows: n, counted }) => ["group", `${group}, ${n} rows, ${counted} that count`]),
    [
      "models",
      keep ? `stay in GPU memory, ${humanBytes(memory.kept)}` : "are read again for every trial (--keep-models)",
    ],
    ["GPU memory", `at most ${humanBytes(memory.gpu)}`],
    ["host memory", hostMemoryText(memory.host)],
  ]);
  const json = {
    search: search.method.name,
    budget,
    genes: names,
    objectives: objectives.map(({ name, weight }) => ({ name, weight })),
    groups: rows,
    keeps_models: keep,
    gpu_memory: memory.gpu,
    host_memory: memory.host,
  };
  return { text, json };
}
