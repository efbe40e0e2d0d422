/**
 * The commands that made a checkpoint, from its lineage, as a script for sh that makes it again.
 *
 * Results of earlier steps go through files of a temporary folder. What a lineage cannot know, such as the path of a
 * checkpoint that came through a pipe, becomes a variable that the script asks for. A lineage comes with a file from
 * anywhere, so every word of it is quoted: a script that was printed must not hold commands that nobody typed.
 */

import type { LineageEntry } from "../checkpoint/checkpoint.ts";
import { controlIn } from "../checkpoint/lineage/lineage.ts";
import { moeReferences, parseMoeRecipe } from "../checkpoint/lineage/recipe/experts-recipe.ts";
import { orderRecipes } from "../checkpoint/lineage/recipe/order-recipes.ts";
import { parseRecipe } from "../checkpoint/lineage/recipe/read-recipe.ts";
import { recipeReferences } from "../checkpoint/lineage/recipe/recipe.ts";
import { type ModelReference, openable } from "../checkpoint/reference.ts";
import { UserError } from "../errors.ts";
import { show } from "../json.ts";
import { loadMethod } from "../method/registry.ts";
import { quote } from "../text/quote.ts";
import { type Input, type Source, sourcesOf, stepsIn } from "./source.ts";

export interface Rerun {
  /** The whole script. */
  readonly script: string;
  /** Its commands without the frame, oldest first. */
  readonly commands: readonly string[];
}

const flag = (key: string): string => quote(`--${key.replaceAll("_", "-")}`);

const PIPE = /^(-|\/(dev|proc\/self)\/fd\/\d+|\/dev\/stdin)$/;

/** Values that look like flags are tied to theirs; rows that came through a pipe are asked for. */
function option(key: string, value: string, unknown: object[]): string[] {
  const [, group = "", file] = /^([\w.-]+=)?(.*)$/s.exec(value)!;
  if (PIPE.test(file!))
    return [flag(key), (group && quote(group)) + asked(`what --${key} read from ${file}`, {}, unknown)];
  return value.startsWith("-") ? [`${flag(key)}=${quote(value)}`] : [flag(key), quote(value)];
}

/** Commas outside of brackets, plus one: how many values a list has. */
const countValues = (text: string): number => text.replace(/\[[^\]]*\]/g, "").split(",").length;

const recipeOf = (entry: LineageEntry): string | undefined =>
  typeof entry.options.recipe === "string" ? entry.options.recipe : undefined;

/** Writes a text into a file, word for word. Nothing ends a quoted word but a quote, which `quote` takes care of. */
const written = (text: string, file: string): string => `printf %s ${quote(text)} > ${file}`;

/** Builds the script; its commands begin with `launcher`. An empty lineage gives no commands. */
export async function rerun(lineage: readonly LineageEntry[], launcher = "bun run"): Promise<Rerun> {
  if (lineage.length === 0) return { script: "", commands: [] };
  for (const entry of lineage) refuseUnwritable(entry);
  const sources = sourcesOf(lineage);
  const covered = coveredSteps(lineage, sources);
  const outputs = lineage.map((entry, i) => `"$work/${i + 1}.${endingOf(entry)}"`);
  outputs[lineage.length - 1] = '"$out"';
  const recipes = await Promise.all(lineage.map(readRecipe));
  // A recipe names its models itself, so a result that one uses goes where the recipe looks for it, unless it is still
  // there.
  const kept = new Set<number>();
  for (const [index, recipe] of recipes.entries()) {
    if (!recipe || covered.has(index)) continue;
    for (const { step, path } of resultsUnder(index, sources, recipes, covered)) {
      if (path === undefined) continue;
      outputs[step] = quote(path);
      kept.add(step);
    }
  }
  const commands: string[] = [];
  const unknown: object[] = [];
  const name = (source: Source): string => {
    if (source.kind === "step") return outputs[source.step]!;
    if (source.kind === "adapted") return `${name(source.base)}+${name(source.adapter)}`;
    if (source.kind === "given") return outside(source.input, unknown);
    return asked(`the base under the adapter of step ${source.adapter + 1}`, source, unknown);
  };
  for (const [index, entry] of lineage.entries()) {
    if (covered.has(index)) continue;
    const text = recipeOf(entry);
    const words = [launcher, scriptOf(entry)];
    if (text === undefined) words.push(...(await plainWords(entry, sources[index]!.map(name), unknown)));
    else {
      const file = `"$work/${index + 1}.yml"`;
      commands.push(written(text, file));
      words.push(file, ...recipeWords(entry, recipes[index], unknown));
    }
    words.push(...resultWords(entry, outputs[index]!, index));
    commands.push(`${kept.has(index) ? `test -e ${outputs[index]} || ` : ""}${words.join(" ")}`);
  }
  const reused = commands.map((command) => {
    const result = / --?[a-z-]+ ("\$work\/\d+\.(?:safetensors|gguf)")$/.exec(command)?.[1];
    return result ? `test -e ${result} || ${command}` : command;
  });
  const last = lineage.at(-1)!;
  const beside = besideOption(last);
  const refusal = namesBeside(last) ? [] : refusesTaken(beside === undefined ? "--out" : flag(beside));
  return { script: frame(reused, lineage.length - covered.size, { refusal, ending: endingOf(last) }), commands };
}

/** How the name of a step's result ends: types of GGUF are of a file of that form alone. */
const endingOf = ({ options }: LineageEntry): string => (options.gguf_type === undefined ? "safetensors" : "gguf");

/** The option that names a step's result beside its main one: it is true in the result's lineage. */
const besideOption = ({ options }: LineageEntry): string | undefined =>
  Object.keys(options).find((key) => key.endsWith("_out") && options[key] === true);

/** Whether a step names where another result of it lies, which may be there from the first time: it is made again. */
const namesBeside = ({ options }: LineageEntry): boolean =>
  Object.entries(options).some(([key, value]) => key.endsWith("_out") && typeof value === "string");

/** Where the result goes, last; the main result of a step whose other one it is goes beside it. */
function resultWords(entry: LineageEntry, output: string, index: number): string[] {
  const beside = besideOption(entry);
  if (beside === undefined) return [...(namesBeside(entry) ? ["--overwrite"] : []), "-o", output];
  return ["-o", `"$work/${index + 1}-main.safetensors"`, flag(beside), output];
}

/** Options that say how a run goes and where it writes; no step records them. */
const PLACES = new Set(["out", "overwrite", "log", "config", "state", "best"]);

/** Throws UserError for a step of which sh cannot be told word for word, or whose options are none of ingot's. */
function refuseUnwritable({ run, ...entry }: LineageEntry): void {
  const hint = "its history cannot be run again; inspect without --command shows it";
  const control = controlIn(entry);
  if (control !== undefined)
    throw new UserError(`the lineage's step ${show(run)} has a control character in ${show(control)}`, hint);
  const key = Object.keys(entry.options).find((name) => !/^[a-z][a-z0-9_]*$/i.test(name) || PLACES.has(name));
  if (key !== undefined)
    throw new UserError(`the lineage's step ${show(run)} has the option ${show(key)}, which no step records`, hint);
}

/** The script of a step. Throws a UserError for any other text: `bun run` would take it for a file. */
function scriptOf({ script, run }: LineageEntry): string {
  if (/^[a-z][a-z-]*( [a-z][a-z+-]*)?$/.test(script)) return script;
  throw new UserError(
    `the lineage's step ${show(run)} is by ${show(script)}, which is not a script of ingot`,
    "its history cannot be run again; inspect without --command shows it",
  );
}

/** The folder of what the steps make: WORK where that is set, else a new one that goes with the script. */
const WORK = [
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: the shell fills it in
  "work=${WORK:-$(mktemp -d)}",
  `test -n "\${WORK:-}" || trap 'rm -rf "$work"' EXIT`,
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: the shell fills it in
  'mkdir -p "$work"',
];

/**
 * Lines that end the script before any work where a checkpoint is at the place of the result, as the last command would
 * after all the others: a file of weights, what makes a folder a model or an adapter, or weights beside a config.
 */
const refusesTaken = (option: string): string[] => [
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: the shell fills it in
  "dir=${out%/}",
  'set -- "$dir"/model.safetensors "$dir"/model.safetensors.index.json',
  'set -- "$@" "$dir"/adapter_model.safetensors "$dir"/adapter_model.safetensors.index.json',
  'case "$out" in *.safetensors|*.gguf|*.bin|*.pt|*.pth) set -- "$out" "$@" ;; esac',
  'if test -e "$dir"/config.json || test -e "$dir"/adapter_config.json; then',
  '  set -- "$@" "$dir"/*.safetensors "$dir"/*.gguf "$dir"/*.bin "$dir"/*.pt "$dir"/*.pth',
  "fi",
  'for result in "$@"; do',
  '  case "$result" in *-[0-9]*-of-[0-9]*.safetensors) continue ;; esac',
  '  if test -f "$result" && test -s "$result"; then',
  `    printf '%s\\n' "${option}: $result is there already" "  hint: write to another place: sh $0 OUT" >&2`,
  "    exit 2",
  "  fi",
  "done",
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: the shell fills it in
];

function frame(
  commands: readonly string[],
  steps: number,
  { refusal, ending }: { readonly refusal: readonly string[]; readonly ending: string },
): string {
  const folder = commands.some((command) => command.includes("$work"));
  return [
    "#!/bin/sh",
    `# Makes a checkpoint again from its lineage (${steps} ${steps === 1 ? "step" : "steps"}): sh FILE [OUT]`,
    "# Inputs are named as they were typed, so run it in the same folder.",
    ...(folder ? ["# WORK=DIR keeps the results of the steps there, and makes only those that are missing."] : []),
    "set -eu",
    `out=\${1:-again.${ending}}`,
    ...refusal,
    ...(folder ? WORK : []),
    ...commands,
    "",
  ].join("\n");
}

/** The documents of one recipe file are one command: all but the last are steps that the last one's command runs. */
function coveredSteps(lineage: readonly LineageEntry[], sources: readonly Source[][]): Set<number> {
  const covered = new Set<number>();
  for (const [index, entry] of lineage.entries()) {
    const text = recipeOf(entry);
    if (text === undefined) continue;
    for (const step of sources[index]!.flatMap(stepsIn)) if (recipeOf(lineage[step]!) === text) covered.add(step);
  }
  return covered;
}

const pathsOf = ({ adapter, ...base }: ModelReference) => ({
  path: openable(base),
  adapter: adapter && openable(adapter),
});

type ReadRecipe = Awaited<ReturnType<typeof readRecipe>>;

/** What a step's recipe says: its references in the order in which lineage lists inputs, and its types. */
async function readRecipe(entry: LineageEntry) {
  const text = recipeOf(entry);
  if (text === undefined) return undefined;
  if (entry.script === "merge moe") {
    const recipe = await parseMoeRecipe(text, "the recipe in the lineage");
    return { paths: moeReferences(recipe).map(pathsOf), dtype: undefined, outDtype: undefined };
  }
  const documents = orderRecipes(await parseRecipe(text, "the recipe in the lineage"));
  const named = new Set(documents.map(({ name }) => name));
  // The number of inputs and the method distinguish the steps of one file: lineage does not keep their names.
  const own = documents.findLast(
    (one) => one.method === entry.method && recipeReferences(one).length === entry.inputs.length,
  );
  const paths = (own ? recipeReferences(own) : []).map(({ adapter, ...base }) => ({
    path: named.has(base.path) ? undefined : openable(base),
    adapter: adapter && openable(adapter),
  }));
  return { paths, dtype: own?.dtype, outDtype: own?.outDtype };
}

/** Results that a step, and those that its command covers, take in: each with the path that the recipe gives it. */
function resultsUnder(
  index: number,
  sources: readonly Source[][],
  recipes: readonly ReadRecipe[],
  covered: ReadonlySet<number>,
): { step: number; path: string | undefined }[] {
  const under = (source: Source, path?: string, adapter?: string): { step: number; path: string | undefined }[] => {
    if (source.kind === "step")
      return covered.has(source.step)
        ? resultsUnder(source.step, sources, recipes, covered)
        : [{ step: source.step, path }];
    if (source.kind !== "adapted") return [];
    // An adapter that was named alone brings its base with it.
    if (adapter === undefined) return under(source.adapter, path);
    return [...under(source.base, path), ...under(source.adapter, adapter)];
  };
  return sources[index]!.flatMap((source, i) => {
    const named = recipes[index]?.paths[i];
    return under(source, named?.path, named?.adapter);
  });
}

/** A variable that the script asks for, one for each thing that is unknown. */
function asked(what: string, thing: object, unknown: object[]): string {
  const text = `set it to ${what}`.replaceAll(/[^\w ():/.-]/g, "?"); // quoting does not reach in here
  if (!unknown.includes(thing)) unknown.push(thing);
  return `"\${INPUT_${unknown.indexOf(thing) + 1}:?${text}}"`;
}

/**
 * An input that no step made: by what was typed, at the revision that it had; a variable where nothing can be typed.
 */
function outside(input: Input, unknown: object[]): string {
  const { ref, revision, header_sha256 } = input;
  const piped = PIPE.test(ref);
  if (piped || ref.startsWith("run:")) {
    const mark = header_sha256 === undefined ? "" : ` (SHA-256 of the header ${header_sha256})`;
    return asked(`${piped ? `what came through ${ref}` : `the result of ${ref}`}${mark}`, input, unknown);
  }
  const hub = /^hf:([^@:+]+)(?:@[^:+]+)?(:[^+]+)?(\+.*)?$/.exec(ref);
  if (!hub || revision === undefined) return quote(ref.startsWith("-") ? `./${ref}` : ref);
  return quote(`hf:${hub[1]}@${revision}${hub[2] ?? ""}${hub[3] ?? ""}`);
}

/** Arguments and options of a step that was typed. `named`: its inputs as the shell is to see them. */
async function plainWords(entry: LineageEntry, named: readonly string[], unknown: object[]): Promise<string[]> {
  const { method } = entry;
  const { [besideOption(entry) ?? ""]: _, ...options } = entry.options;
  const listed = await listsBase(entry);
  const inputs: { role: string; word: string }[] = [];
  for (const [i, { role = "model" }] of entry.inputs.entries()) {
    const base = role === "adapter" ? inputs.at(-1) : undefined;
    if (base) base.word += `+${named[i]}`;
    else inputs.push({ role, word: named[i]! });
  }
  const words = inputs.flatMap(({ role, word }) => (role === "model" || (listed && role === "base") ? [word] : []));
  if (method !== undefined) words.push("--method", quote(method));
  for (const { role, word } of inputs) if (role !== "model") words.push(flag(role), word);
  return [...words, ...optionWords(options, unknown), ...seedWords(entry)];
}

/**
 * Whether the base was one of the models too. Lineage lists models in their order and a base among them at its place;
 * at the end it may be either, which the length of lists with one value per model shows.
 */
async function listsBase({ script, inputs, method, options }: LineageEntry): Promise<boolean> {
  const base = inputs.findIndex(({ role }) => role === "base");
  if (base < 0 || script !== "merge" || method === undefined) return false;
  if (base < inputs.length - 1 || inputs.length === 1) return true;
  const known = await loadMethod("merge", method).catch(() => undefined);
  return Object.entries(options).some(
    ([key, value]) =>
      known?.options[key]?.per === "model" && typeof value === "string" && countValues(value) === inputs.length,
  );
}

function recipeWords(entry: LineageEntry, recipe: ReadRecipe, unknown: object[]): string[] {
  const { recipe: _text, dtype, out_dtype, ...options } = entry.options;
  return [
    ...optionWords(
      {
        ...(dtype !== recipe?.dtype && { dtype }),
        ...(out_dtype !== recipe?.outDtype && { out_dtype }),
        ...options,
      },
      unknown,
    ),
    ...seedWords(entry),
  ];
}

const seedWords = ({ seed }: LineageEntry): string[] => (seed === 0 ? [] : ["--seed", String(seed)]);

/** Words of options as the command line parses them: numbers joined by commas, of texts one flag each. */
function optionWords(options: Readonly<Record<string, unknown>>, unknown: object[]): string[] {
  const learnt = Object.keys(options).some((key) => key.startsWith("tune_") && key !== "tune_own");
  return Object.entries(options).flatMap(([key, value]) => {
    if (value === undefined || value === null) return [];
    if (value === true) return [flag(key)];
    if (value === false) return [flag(`no-${key}`)];
    // Coefficients that were learnt are learnt again; those that were given are given.
    if (typeof value === "object" && !Array.isArray(value))
      return learnt ? [] : [flag(key), quote(JSON.stringify(value))];
    if (!Array.isArray(value)) return option(key, String(value), unknown);
    if (value.length > 0 && value.every((item) => typeof item === "number"))
      return option(key, value.join(","), unknown);
    return value.flatMap((item) => option(key, String(item), unknown));
  });
}
