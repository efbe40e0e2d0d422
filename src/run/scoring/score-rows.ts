/** Runs a model over a data set's rows, in order, and gives one scored row each. */
import { type Batch, collate, stackExamples } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Example } from "../../data/examples.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { notFinite } from "../not-finite.ts";
import type { ScoredRow } from "./scored-row.ts";
import { Scorer, type Scores } from "./scorer.ts";

export interface ScoreOptions {
  /** Names the model in messages. */
  readonly ref: string;
  readonly rows: number;
  readonly signal: AbortSignal;
  /** Runs the model, and outlives the call; made for the call when left out. */
  readonly scorer?: Pick<Scorer, "score" | "free">;
  /** Called after every batch with its number of rows. */
  readonly done?: (rows: number) => void;
  /** Called with every batch, for dumps. */
  readonly visit?: (batch: Batch) => Promise<void>;
}

const AHEAD = 4;

/** What a row is, and the model that was run on it. */
interface Source {
  readonly group: number;
  readonly place: string;
  readonly ref: string;
  readonly isCut?: boolean | undefined;
}

/** Entries of a batch's scores from `from` to `to`, those that count. Throws UserError where one is no number. */
function cut(scores: Scores, { group, place, ref, isCut }: Source, from: number, to: number): ScoredRow {
  const { targets, nll, argmax, confidence, moments, probabilities, draft } = scores;
  const outputs = (probabilities?.length ?? 0) / targets.length;
  const places: number[] = [];
  for (let i = from; i < to; i++) {
    if (targets[i]! < 0) continue;
    if (Number.isNaN(nll[i]!) || Number.isNaN(confidence[i]!)) throw notFinite(ref, place);
    places.push(i);
  }
  const pick = <T extends Float32Array | Int32Array | Uint32Array>(values: T, made: T): T => {
    for (const [i, place] of places.entries()) made[i] = values[place]!;
    return made;
  };
  const n = places.length;
  return {
    group,
    ...(isCut ? { isCut } : {}),
    targets: pick(targets, new Int32Array(n)),
    nll: pick(nll, new Float32Array(n)),
    argmax: pick(argmax, new Uint32Array(n)),
    confidence: pick(confidence, new Float32Array(n)),
    ...(moments
      ? { moments: Float32Array.from({ length: 2 * n }, (_, i) => moments[2 * places[i >> 1]! + (i & 1)]!) }
      : {}),
    ...(draft
      ? { draft: { overlap: pick(draft.overlap, new Float32Array(n)), argmax: pick(draft.argmax, new Uint32Array(n)) } }
      : {}),
    ...(probabilities
      ? {
          probabilities: Float32Array.from(
            { length: n * outputs },
            (_, i) => probabilities[places[Math.floor(i / outputs)]! * outputs + (i % outputs)]!,
          ),
        }
      : {}),
  };
}

/** Scores token sequences, one a row. */
export async function scoreSequences(
  model: Model,
  sequences: readonly Sequence[],
  pad: number,
  options: ScoreOptions & { readonly moments?: boolean },
): Promise<ScoredRow[]> {
  const { ref } = options;
  const scorer = options.scorer ?? new Scorer(model, undefined, { moments: options.moments ?? false });
  const rows: ScoredRow[] = [];
  const pending: (() => Promise<void>)[] = [];
  for await (const part of inBatches(sequences, options.rows)) {
    options.signal.throwIfAborted();
    const batch = collate(
      part.map((sequence) => [sequence]),
      { pad },
    );
    const scores = scorer.score(batch);
    scores.catch(() => {});
    pending.push(async () => {
      const found = await scores;
      for (const [row, sequence] of part.entries())
        rows.push(cut(found, { ...sequence, ref }, row * batch.length, (row + 1) * batch.length));
      options.done?.(part.length);
    });
    await options.visit?.(batch);
    if (pending.length >= AHEAD) await pending.shift()!();
  }
  for (const rest of pending) await rest();
  if (!options.scorer) await scorer.free();
  return rows;
}

/** What a regressor says of a row. */
function numbersOf({ numbers }: Scores, row: number, rows: number): Pick<ScoredRow, "numbers"> {
  if (!numbers) return {};
  const of = (all: Float32Array) => all.slice((row * all.length) / rows, ((row + 1) * all.length) / rows);
  return { numbers: { found: of(numbers.found), wanted: of(numbers.wanted) } };
}

/** Scores a classifier, or a regressor, on examples. */
export async function scoreExamples(
  model: Model,
  examples: readonly Example[],
  options: ScoreOptions,
): Promise<ScoredRow[]> {
  const scorer = options.scorer ?? new Scorer(model);
  const rows: ScoredRow[] = [];
  for await (const part of inBatches(examples, options.rows)) {
    options.signal.throwIfAborted();
    const batch = stackExamples(part);
    const scores = await scorer.score(batch);
    await options.visit?.(batch);
    for (const [i, { group, place }] of part.entries())
      rows.push({ ...cut(scores, { group, place, ref: options.ref }, i, i + 1), ...numbersOf(scores, i, part.length) });
    options.done?.(part.length);
  }
  if (!options.scorer) await scorer.free();
  return rows;
}
