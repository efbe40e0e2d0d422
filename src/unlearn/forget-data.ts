/** Reads the rows of a run into batches: rows to forget beside rows to keep, of a language model or a classifier. */
import { type Batch, collate, stackExamples } from "../data/batch.ts";
import { loadSequences } from "../data/dataset.ts";
import { type Example, loadExamples } from "../data/examples.ts";
import { type GroupReference, groupsOf, parseGroups } from "../data/groups.ts";
import { rowDigest } from "../data/row-digest.ts";
import { sameRows } from "../data/same-rows.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import { methodsFor } from "../method/capability.ts";

import { openModel } from "../run/open-model.ts";
import { type BatchSource, sequenceBatches, stackedBatches } from "../run/training/batch-source.ts";
import type { Opened } from "../run/training/technique.ts";
import { examplePool, pairedBatches, sequencePool, skipped, type UnlearnBatch, withSequences } from "./batches.ts";
import type { Supply } from "./capability.ts";
import type { Choices } from "./choices.ts";
import type { PassSteps, UnlearnMethod } from "./contract.ts";
import { relabelledExamples, relabelledSequences } from "./relabel.ts";
import type { UnlearnRun } from "./run.ts";
import { Twins } from "./twins.ts";

/** The model of --original, whose headers are read. */
export type OriginalModel = Awaited<ReturnType<typeof openModel>>;

export interface UnlearnData {
  readonly source: BatchSource<UnlearnBatch>;
  /** The rows to forget as they are trained on; none of a classifier. */
  readonly sequences: readonly Sequence[];
  /** What the method's capabilities supply, in the order of its needs. */
  readonly supplies: readonly Supply[];
  /** The model as it was, where it is not the one that is trained. */
  readonly original?: OriginalModel | undefined;
  /** Of the rows to forget, where the method asks for them. */
  readonly twins?: Twins | undefined;
  /** Id that fills up batches. */
  readonly pad: number;
  /** Rows of either set; none to keep without --retain. */
  readonly rows: PassSteps;
  /** The rows to forget with the labels that they were read with, as batches. */
  labelled(): Batch[];
}

/** The groups that --forget and --retain name. Throws UserError where rows are to be both forgotten and kept. */
export function forgetGroups({ options }: Pick<UnlearnRun, "options">): {
  readonly forget: readonly GroupReference[];
  readonly retain: readonly GroupReference[] | undefined;
} {
  const forget = groupsOf(options.forget, "--forget", options.columns);
  const retain = options.retain ? parseGroups(options.retain, options.columns, "--retain") : undefined;
  for (const group of forget) {
    const same = retain?.find((other) => sameRows(group, other));
    if (same)
      throw new UserError(
        `--forget ${group.path} and --retain ${same.path} are the same rows`,
        "give --retain rows that the model should still know",
      );
  }
  return { forget, retain };
}

export const chunksOf = <T>(all: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));

type Run = Pick<UnlearnRun, "options" | "seed">;

/** Opens the model of --original. Throws UserError for one of another form. */
export async function openOriginal(
  ref: string,
  { sizes, task, ref: own }: Opened,
  warn: (text: string) => void,
): Promise<OriginalModel> {
  const found = await openModel(ref, {}, warn);
  const same = (["layers", "width", "outputs"] as const).every((name) => found.sizes[name] === sizes[name]);
  if (found.task === task && same) return found;
  found.checkpoint.close();
  throw new UserError(
    `--original ${ref} is another kind of model than ${own}`,
    "name a model of the same form, such as the one that this model was trained from",
  );
}

/** Reads all rows, but for those of --retain that are held out. Throws UserError. */
export async function readData(run: Run, choices: Choices, opened: Opened): Promise<UnlearnData> {
  const { method, values } = choices.chosen;
  method.check?.(values, opened.sizes);
  const groups = forgetGroups(run);
  const { forget } = groups;
  if ((method.wanted || method.noise) && opened.tools)
    throw new UserError(`${method.name} is for classifiers of vectors and images`, "take another method");
  const retain = groups.retain && (opened.split?.rest(groups.retain) ?? groups.retain);
  return opened.tools
    ? readSequences(run, choices, opened, forget, retain)
    : readExamples(run, choices, opened, forget, retain);
}

/** Whether a method can do without tokens. */
export const isForClassifiers = (method: UnlearnMethod): boolean =>
  method.kind === "edit" ||
  (method.kind === "objective" &&
    !method.needs?.length &&
    method.per !== "sequence-mean" &&
    method.trains === undefined);

/** Rows with the outputs that are wanted of them. Throws UserError for a row of which none are. */
const withWanted = (rows: readonly Example[], wanted: ReadonlyMap<string, Float32Array>, method: string): Example[] =>
  rows.map((row) => {
    const y = wanted.get(rowDigest(row));
    if (y && "x" in row) return { ...row, y };
    throw new UserError(
      `${row.place}: ${method} knows no outputs that are wanted of this row`,
      "give unlearn attribute all rows of --forget and --retain",
    );
  });

async function readExamples(
  { options, seed }: Run,
  { chosen: { method, values } }: Choices,
  { task, examples: reader, order }: Opened,
  groups: readonly GroupReference[],
  kept: readonly GroupReference[] | undefined,
): Promise<UnlearnData> {
  if (options.pd) throw new UserError(`--pd is for language models; this is a ${task}`);
  const isFor =
    !method.twins && (isForClassifiers(method) || (method.trains !== undefined && options.train_only !== undefined));
  if (!isFor)
    throw new UserError(
      `${method.name} is for language models; this is a ${task}`,
      `take ${await methodsFor("unlearn", isForClassifiers)}`,
    );
  if (method.noise && !reader.shape)
    throw new UserError(`${method.name} makes noise in the place of rows of numbers and images`, "take another method");
  const read = await loadExamples(groups, reader);
  const keep = kept && (await loadExamples(kept, reader));
  const wanted = await method.wanted?.(values, read);
  const labelledOwn = method.relabels ? relabelledExamples(read, reader.classes, seed) : read;
  const own = wanted ? withWanted(read, wanted, method.name) : labelledOwn;
  const others = keep && wanted ? withWanted(keep, wanted, method.name) : keep;
  const swap = options.anchor === "retain";
  const names = (swap ? kept! : groups).map(({ name }) => name);
  const anchor = stackedBatches(swap ? others! : own, names, order);
  const drawn = swap ? examplePool(own, seed, "forget") : others && examplePool(others, seed, "retain");
  const source = pairedBatches(anchor, { drawn, pd: undefined, swap, numbers: new Map() });
  const rows = { forget: own.length, retain: others?.length ?? 0 };
  const labelled = () => chunksOf(read, options.batch_size).map(stackExamples);
  return { source, sequences: [], supplies: [], pad: 0, rows, labelled };
}

async function readSequences(
  { options, seed }: Run,
  { chosen: { method, values } }: Choices,
  { tools, order, sizes }: Opened,
  groups: readonly GroupReference[],
  kept: readonly GroupReference[] | undefined,
): Promise<UnlearnData> {
  const { encode, tokenizer } = tools!;
  const pad = tokenizer?.pad ?? 0;
  const skip = options.skip_tokens ?? method.defaults?.skip_tokens ?? 0;
  const forget = await loadSequences(groups, encode);
  const supplies: Supply[] = [];
  let given = forget.sequences;
  for (const capability of method.needs ?? []) {
    const set = { sequences: given, groups, tools: tools!, pad, seed, method: method.name };
    const supply = await capability.supply(values, set);
    given = supply.sequences ?? given;
    supplies.push(supply);
  }
  const read = skipped(given, skip);
  const sequences = method.relabels ? relabelledSequences(read, sizes.outputs, seed) : read;
  if (!sequences.some(({ labels }) => labels.some((label, i) => i > 0 && label >= 0)))
    throw new UserError(
      skip > 0 ? `the first ${skip} tokens left out, no row of --forget has any` : "no token of --forget counts",
      skip > 0 ? "give a smaller --skip-tokens" : "rows need an answer beside their prompt",
    );
  const neutral = method.twins?.(values);
  const how = { tools: tools!, method: method.name, pad };
  const twins = neutral === undefined ? undefined : await Twins.read(groups, { ...how, neutral });
  const others = kept && (await loadSequences(kept, encode));
  const pdRows =
    options.pd && (await loadSequences(parseGroups([options.pd], options.columns, "--pd"), encode)).sequences;
  const pool = (rows: readonly Sequence[] | undefined, name: string) => rows && sequencePool(rows, seed, pad, name);
  const swap = options.anchor === "retain";
  const anchor = sequenceBatches(swap ? others! : withSequences(forget, sequences), order, pad);
  const source = pairedBatches(anchor, {
    drawn: swap ? pool(sequences, "forget") : pool(others?.sequences, "retain"),
    pd: pool(pdRows || undefined, "pd"),
    swap,
    numbers: new Map(sequences.map((sequence, i) => [sequence, i])),
  });
  const rows = { forget: sequences.length, retain: others?.sequences.length ?? 0 };
  const inRows = (part: readonly Sequence[]) => part.map((sequence) => [sequence]);
  const labelled = () => chunksOf(read, options.batch_size).map((part) => collate(inRows(part), { pad }));
  return { source, sequences, supplies, twins, pad, rows, labelled };
}
