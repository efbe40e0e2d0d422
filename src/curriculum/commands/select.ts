/** `curriculum select`: scores rows with a model, and writes those that a selector chooses as they were. */

import { readFileSync } from "node:fs";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { countedTokens, loadSequences } from "../../data/dataset.ts";
import { type Example, loadExamples } from "../../data/examples.ts";
import { packingOf } from "../../data/files/compressed.ts";
import { delimiterOf } from "../../data/files/csv.ts";
import { type GroupReference, groupsOf } from "../../data/groups.ts";
import { ROW_WEIGHT } from "../../data/row-weight.ts";
import type { EncodeOptions, Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { isObject } from "../../json.ts";
import { type DescribedModel, describeModel } from "../../run/open-model.ts";
import { checkSketchWidth } from "../../run/scoring/gradient-sketches.ts";
import { start } from "../../run/training/starting-model.ts";
import { humanBytes } from "../../text/format.ts";
import type { RowEvidence, SelectorNeed } from "../contract.ts";
import type { SELECT } from "../options.ts";
import { checkEvidence, evidenceOf, evidenceOfExamples } from "../row-evidence.ts";
import { storedBytes } from "./open-short-runs.ts";

/** Every pair of rows is compared. */
const MOST_STATES = 5000;

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UserError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, "is the path right?");
  }
}

/** Rows before they are read: place "file:line" to the line's text. */
function linesOf(paths: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of paths) {
    if (path === "-")
      throw new UserError("select reads its rows twice, which stdin cannot", "write them to a file first");
    if (path.startsWith("hf:")) throw notLines(path);
    const bytes = read(path);
    const isPacked = packingOf(bytes) !== undefined || bytes.subarray(0, 4).toString("latin1") === "PAR1";
    if (isPacked || delimiterOf(path) !== undefined) throw notLines(path);
    const text = new TextDecoder("utf-8").decode(bytes);
    for (const [i, line] of text.split("\n").entries()) found.set(`${path}:${i + 1}`, line.replace(/\r$/, ""));
  }
  return found;
}

const notLines = (path: string): UserError =>
  new UserError(
    `${path} does not hold its rows as lines of JSON; select writes such lines as they are`,
    "convert it first: one object a line",
  );

type SelectContext = Context<typeof SELECT>;

/**
 * The rows that are aimed at, a list for each set. Throws UserError where a selector asks for some and there are none,
 * or the other way round.
 */
async function readTargets({ options, picks }: SelectContext, encode: EncodeOptions): Promise<Sequence[][]> {
  const { target: wants, name, needs } = picks.select_by[0]!.method;
  if (needs === "sketches" || needs === "figures") checkSketchWidth(options.sketch_width, "--sketch-width");
  if (!wants && options.target?.length)
    throw new UserError(`--target: ${name} chooses rows whatever they are for`, "leave it out");
  if (!wants) return [];
  if (!options.target?.length)
    throw new UserError(`${name} chooses rows for others, and --target names none`, "for example --target some.jsonl");
  const groups = groupsOf(options.target, "--target", options.columns);
  const { sequences } = await loadSequences(groups, encode);
  const sets = groups.map((_, g) => sequences.filter((row) => row.group === g && countedTokens(row) > 0));
  const empty = sets.findIndex(({ length }) => length === 0);
  if (empty >= 0) throw new UserError(`no row of ${groups[empty]!.path} has a token that counts`, "give other rows");
  return sets;
}

/** Rows of text, or a classifier's examples. */
type SelectRows =
  | { readonly kind: "text"; readonly rows: readonly Sequence[] }
  | { readonly kind: "examples"; readonly rows: readonly Example[] };

/** The rows of --data as the model reads them. Throws UserError for a model that has neither tokens nor classes. */
async function readAll(
  { tools, examples, task, ref }: DescribedModel,
  context: SelectContext,
  groups: readonly GroupReference[],
): Promise<SelectRows> {
  if (tools) return { kind: "text", rows: (await loadSequences(groups, tools.encode)).sequences };
  const { method: selector } = context.picks.select_by[0]!;
  if (task !== "classifier")
    throw new UserError(`${ref} is a ${task}; select scores rows of text or of classes`, "give another model");
  if (selector.needs !== "states" && selector.needs !== "losses")
    throw new UserError(
      `${selector.name} chooses rows of text, and ${ref} is a classifier`,
      "craig, dp-means, lowest-loss and unlike choose rows of both",
    );
  return { kind: "examples", rows: await loadExamples(groups, examples) };
}

/** The model that scores, and the rows. Throws UserError for more rows than the selector can compare. */
async function open(context: SelectContext, groups: readonly GroupReference[]) {
  const { options, seed } = context;
  const selector = context.picks.select_by[0]!.method;
  const begun = await start({
    ...options,
    model: context.args[0] ?? (options.init === undefined ? "-" : undefined),
    init: options.init,
    seed,
    warn: (text) => context.warn(text),
  });
  context.onExit(() => begun.close());
  const described = await describeModel(begun, options, (text) => context.warn(text));
  const data = await readAll(described, context, groups);
  const n = data.rows.length;
  if (selector.needs === "states" && n > MOST_STATES)
    throw new UserError(
      `${selector.name} compares all pairs of rows, and there are ${n}; at most ${MOST_STATES}`,
      "select from parts, or by loss first",
    );
  if (options.weigh && !selector.weighs)
    throw new UserError(`--weigh: ${selector.name} does not say what a row stands for`, "craig does; or leave it out");
  const { tools } = described;
  const targets = tools ? await readTargets(context, tools.encode) : [];
  const budget = Math.min(
    n,
    Math.max(1, Math.round(options.keep_rows < 1 ? options.keep_rows * n : options.keep_rows)),
  );
  return { begun, data, targets, budget, pad: tools?.tokenizer?.pad ?? 0 };
}
type Opened = Awaited<ReturnType<typeof open>>;

/** What is measured, in words. */
const MEASURES = {
  ...{ losses: "losses", norms: "gradients", states: "hidden states" },
  ...{ sketches: "sketches of gradients", tokens: "tokens", figures: "figures and gradients" },
};
const FIGURES: Partial<Record<SelectorNeed, string>> = { losses: "loss", norms: "norm of gradients" };

/** What it would do, for --dry-run. */
function describe(context: SelectContext, { begun, data, targets, budget }: Opened): Outcome {
  const { needs, name } = context.picks.select_by[0]!.method;
  const n = data.rows.length;
  const aimed = targets.reduce((sum, { length }) => sum + length, 0);
  const rows = ["norms", "sketches", "figures"].includes(needs) ? 1 : context.options.batch_size;
  const tokens = data.kind === "text" ? data.rows.reduce((sum, { ids }) => sum + ids.length, 0) : undefined;
  const plan = {
    rows: n,
    ...(tokens !== undefined && { tokens }),
    keep: budget,
    batches: Math.ceil((n + aimed) / rows),
    weights: storedBytes(begun),
  };
  const count = (value: number) => value.toLocaleString("en-US");
  context.print(
    [
      `${name}: keep ${count(budget)} of ${count(n)} rows${tokens === undefined ? "" : `, ${count(tokens)} tokens`}`,
      `${data.kind === "examples" && needs === "states" ? "probabilities" : MEASURES[needs]} of ${count(plan.batches)} batches of ${rows}`,
      ...(plan.weights > 0 ? [`weights: ${humanBytes(plan.weights)} as stored`] : []),
    ].join("\n"),
  );
  context.json({ select_by: name, ...plan });
  return {};
}

/**
 * The rows that the selector chooses, the best first; rows of which no token counts come after all others, because
 * nothing can be learned from them. `scores` has the score of every row, NaN where there is none.
 */
async function choose(context: SelectContext, { begun, data, targets, budget, pad }: Opened): Promise<Choice> {
  const { options, seed, signal } = context;
  const { method: selector, values } = context.picks.select_by[0]!;
  const model = selector.needs === "tokens" ? undefined : await begun.load(await openGpu({ device: context.device }));
  const measuring = { rows: options.batch_size, pad, signal, sketchWidth: options.sketch_width, seed };
  if (data.kind === "examples") {
    const evidence = await evidenceOfExamples(model!, data.rows, selector.needs, measuring);
    checkEvidence(evidence, data.rows, begun.ref);
    const { rows, weights, notes } = selector.select({ ...evidence, targets: [], budget, values, seed });
    return { chosen: rows, weights, scores: Array.from(evidence.scores), notes };
  }
  const sequences = data.rows;
  const places = sequences.flatMap((sequence, row) => (countedTokens(sequence) > 0 ? [row] : []));
  const counted = places.map((row) => sequences[row]!);
  const measured = async (rows: readonly Sequence[]) => {
    const evidence = await evidenceOf(model, rows, selector.needs, measuring);
    checkEvidence(evidence, rows, begun.ref);
    return evidence;
  };
  const evidence = await measured(counted);
  const aimed: RowEvidence[] = [];
  for (const set of targets) aimed.push(await measured(set));
  const most = Math.min(budget, counted.length);
  const { rows, weights, notes } = selector.select({ ...evidence, targets: aimed, budget: most, values, seed });
  const others = [...sequences.keys()].filter((row) => countedTokens(sequences[row]!) === 0);
  const scores = sequences.map(() => Number.NaN);
  for (const [i, row] of places.entries()) scores[row] = evidence.scores[i] ?? Number.NaN;
  const chosen = [...rows.map((place) => places[place]!), ...others].slice(0, budget);
  return { chosen, weights, scores, notes };
}

/** What a selector chose. */
interface Choice {
  readonly chosen: readonly number[];
  /** Of the first of the chosen; the others, of which no token counts, weigh 1. */
  readonly weights: readonly number[] | undefined;
  readonly scores: readonly number[];
  readonly notes: Readonly<Record<string, unknown>> | undefined;
}

/** A row as it was written, with its weight. */
function weighed(line: string, weight: number, place: string): string {
  const row: unknown = JSON.parse(line);
  if (!isObject(row)) throw new UserError(`${place} is no object, which --weigh needs`, "write one object a line");
  return JSON.stringify({ ...row, [ROW_WEIGHT]: weight });
}

/** Mean of the scores that are known. */
function meanKnown(scores: readonly number[]): number {
  const known = scores.filter(Number.isFinite);
  return known.reduce((a, b) => a + b, 0) / known.length;
}

export async function select(context: SelectContext): Promise<Outcome> {
  const { options } = context;
  const { name, needs } = context.picks.select_by[0]!.method;
  const groups = groupsOf(options.data, "--data", options.columns);
  const result = textResult(
    context,
    groups.map(({ path }) => path),
  );
  const lines = linesOf(groups.map(({ path }) => path));
  if (options.overflow === "split") throw new UserError("--overflow split makes several of one row", "leave it out");
  const opened = await open(context, groups);
  if (context.dryRun) return describe(context, opened);
  const { rows } = opened.data;
  const odd = rows.find(({ place }) => !lines.has(place));
  if (odd) throw notLines(odd.place.replace(/: row \d+$/, ""));
  const { chosen, weights = [], scores, notes } = await choose(context, opened);
  const kept = options.ranked ? chosen : [...chosen].sort((a, b) => a - b);
  const counts = groups.map(({ name }, g) => {
    const of = (list: readonly { readonly group: number }[]) => list.filter(({ group }) => group === g).length;
    return { name, rows: of(rows), kept: of(kept.map((row) => rows[row]!)) };
  });
  const share = counts.map(({ name, rows, kept }) => `${kept} of ${rows}${groups.length > 1 ? ` of ${name}` : ""}`);
  const what = FIGURES[needs];
  const means = { mean: meanKnown(chosen.map((row) => scores[row]!)), mean_of_all: meanKnown(scores) };
  const figures = what ? `; mean ${what} ${means.mean.toFixed(4)}, of all ${means.mean_of_all.toFixed(4)}` : "";
  const clusters = Array.isArray(notes?.clusters) ? `; ${notes.clusters.length} clusters` : "";
  context.info(`${name}: kept ${share.join(", ")} rows${figures}${clusters}`);
  context.log.event("selected", { places: kept.map((row) => rows[row]!.place), ...notes });
  const lineOf = (row: number): string => {
    const { place } = rows[row]!;
    return options.weigh ? weighed(lines.get(place)!, weights[chosen.indexOf(row)] ?? 1, place) : lines.get(place)!;
  };
  return result(kept.map(lineOf).join("\n"), {
    select_by: name,
    rows: rows.length,
    kept: kept.length,
    groups: counts,
    ...(what ? { of: what, ...means } : {}),
  });
}
