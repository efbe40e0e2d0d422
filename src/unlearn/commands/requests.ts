/**
 * `unlearn requests`: requests to forget that come one after the other. Each is an `unlearn` on what the one before
 * left, in a process of its own; then all models are measured on all requests, on their neighbours and on other rows.
 * Erosion is what is lost of the latter from the first model to the last. The stream of "Continual Unlearning for
 * Foundational Text-to-Image Models without Generalization Erosion", 2025.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import type { Context, Outcome } from "../../cli/context.ts";
import { scriptFile, understood } from "../../cli/definitions.ts";
import { UserError } from "../../errors.ts";
import { isObject, parseJson } from "../../json.ts";
import { loadMethod } from "../../method/registry.ts";
import { runProgram } from "../../run/child-program.ts";
import { quote } from "../../text/quote.ts";
import { table } from "../../text/table.ts";
import { wordsIn } from "../../text/words.ts";
import type { REQUESTS } from "../requests-options.ts";

type RequestsContext = Context<typeof REQUESTS>;

/** A request, and the command that unlearns it. */
interface Planned {
  readonly name: string;
  readonly path: string;
  readonly folder: string;
  readonly words: readonly string[];
}

/** Names of files that are all different. */
const named = (files: readonly string[], role: string) =>
  files.map((path, i) => ({ name: files.length === 1 && role !== "request" ? role : `${role}-${i + 1}`, path }));

/** The commands, each checked as far as it can be before any work. Throws UserError. */
async function plan({ options, args, out, seed }: RequestsContext): Promise<Planned[]> {
  const said = wordsIn(options.by);
  if (said === undefined) throw new UserError("--by: a quote is not closed", 'for example --by "npo --steps 20"');
  const by = /^-/.test(said[0] ?? "-") ? said : ["--method", ...said];
  const own = by.find((word) => /^(--forget|--out|-o|--dry-run|-n|--log)(=|$)/.test(word));
  if (own) throw new UserError(`--by has ${own}, which every request has of its own`, "leave it out");
  const first = args[0]!;
  const planned: Planned[] = [];
  let last = first;
  for (const { name, path } of named(options.request, "request")) {
    const folder = join(out, name);
    const put = by.map((word) => (word === "@first" ? first : word === "@last" ? last : word));
    const words = [last, ...put, "--forget", path, "--seed", `${seed}`, "-o", folder];
    await understood("unlearn", words);
    planned.push({ name, path, folder, words });
    last = folder;
  }
  return planned;
}

/**
 * Tries every command on the model as it is, without doing anything, so that what is wrong with a later one is known
 * before the first begins. Throws UserError.
 */
async function rehearse(
  planned: readonly Planned[],
  kept: readonly { readonly name: string; readonly path: string }[],
  { args, options: { metric }, signal }: RequestsContext,
): Promise<void> {
  const first = args[0]!;
  const later = new Set(planned.map(({ folder }) => folder));
  const tried = async (words: readonly string[], failure: string) => {
    if ((await runProgram([process.execPath, ...words, "-n", "-q"], { signal, out: "ignore" })) !== 0)
      throw new UserError(failure, "its message is above; nothing was written");
  };
  for (const { name, folder, words } of planned) {
    const now = words.map((word) => (word !== folder && later.has(word) ? first : word));
    await tried([scriptFile("unlearn"), ...now], `${name} cannot be unlearnt`);
  }
  const data = [...planned, ...kept].flatMap(({ name, path }) => ["--data", `${name}=${path}`]);
  await tried([scriptFile("evaluate"), first, ...data, "--metric", metric], "the models cannot be measured");
}

/** Values by model and group. */
type Found = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Measures all models on all groups in one run of `evaluate`. Throws UserError where it fails. */
async function measure(
  models: readonly string[],
  groups: readonly { readonly name: string; readonly path: string }[],
  { options: { metric }, out, signal }: RequestsContext,
): Promise<Found> {
  const data = groups.flatMap(({ name, path }) => ["--data", `${name}=${path}`]);
  const words = [process.execPath, scriptFile("evaluate"), ...models, ...data, "--metric", metric, "--json", "-q"];
  const file = join(out, "measured.json.part");
  const handle = openSync(file, "w");
  let text: string;
  try {
    if ((await runProgram(words, { signal, out: handle })) !== 0)
      throw new UserError("the models could not be measured", "its message is above", 1);
    text = readFileSync(file, "utf8");
  } finally {
    closeSync(handle);
    rmSync(file, { force: true });
  }
  const found = new Map<string, Map<string, number>>();
  const { value: said } = parseJson(text.trim(), "what evaluate found");
  for (const row of isObject(said) && Array.isArray(said.rows) ? said.rows : []) {
    if (!isObject(row) || row.metric !== metric) continue;
    const { model, group, value } = row;
    if (typeof model !== "string" || typeof group !== "string") continue;
    const of = found.get(model) ?? new Map<string, number>();
    found.set(model, of.set(group, typeof value === "number" ? value : Number.NaN));
  }
  return found;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

export async function requests(context: RequestsContext): Promise<Outcome> {
  const { options, args, out, dryRun, json, print, info, signal } = context;
  if (args.length !== 1) throw new UserError("one model is unlearnt", "unlearn requests MODEL --request A --request B");
  if (out === "-") throw new UserError("the models of all requests go to a folder", "name it: -o DIR");
  const method = await loadMethod("metric", options.metric, "--metric");
  const planned = await plan(context);
  const there = planned.find(({ folder }) => existsSync(folder));
  if (there) throw new UserError(`${there.folder} is there already`, "name another folder, or take it away");
  const kept = [...named(options.neighbours ?? [], "neighbours"), ...named(options.general ?? [], "general")];
  const commands = planned.map(({ words }) => `unlearn ${words.map(quote).join(" ")}`);
  if (dryRun) {
    json({ commands });
    print(commands.join("\n"));
    return {};
  }
  await rehearse(planned, kept, context);
  mkdirSync(out, { recursive: true });
  for (const [i, { name, words }] of planned.entries()) {
    info(`${i + 1}/${planned.length}: unlearn ${words.map(quote).join(" ")}`);
    const code = await runProgram([process.execPath, scriptFile("unlearn"), ...words, "-q"], { signal, out: "ignore" });
    if (code !== 0) throw new UserError(`${name} failed`, "its message is above", 1);
  }
  const models = [args[0]!, ...planned.map(({ folder }) => folder)];
  const groups = [...planned.map(({ name, path }) => ({ name, path })), ...kept];
  const found = await measure(models, groups, context);
  const scoreOf = (model: string, group: string): number =>
    found.get(model)?.get(groups.length === 1 ? "all" : group) ?? Number.NaN;
  const rows = models.map((model, k) => {
    const asked = planned.slice(0, k).map(({ name }) => scoreOf(model, name));
    const worst = asked.length === 0 ? Number.NaN : (method.knowledge === "less" ? Math.min : Math.max)(...asked);
    return {
      model,
      requests: k,
      forget: asked.length === 0 ? Number.NaN : mean(asked),
      worst,
      values: Object.fromEntries(groups.map(({ name }) => [name, scoreOf(model, name)])),
    };
  });
  const general = kept.filter(({ name }) => name.startsWith("general")).map(({ name }) => name);
  const lost = general.map((name) => rows[0]!.values[name]! - rows.at(-1)!.values[name]!);
  const erosion = general.length === 0 ? undefined : mean(lost) * (method.better === "lower" ? -1 : 1);
  const cell = (x: number) => (Number.isNaN(x) ? "-" : x.toFixed(4));
  const head = ["after", "forgotten so far", "worst of them", ...kept.map(({ name }) => name), "model"];
  const lines = rows.map((row) => [
    `${row.requests}`,
    cell(row.forget),
    cell(row.worst),
    ...kept.map(({ name }) => cell(row.values[name]!)),
    basename(row.model),
  ]);
  print(`${options.metric}\n${table([head, ...lines], { align: `r${"r".repeat(kept.length + 2)}l` })}`);
  if (erosion !== undefined) print(`erosion ${erosion.toFixed(4)}`);
  json({ metric: options.metric, rows, ...(erosion === undefined ? {} : { erosion }) });
  return { output: planned.at(-1)!.folder };
}
