/**
 * `train --chain-forward K`: every `--chain-every`-th batch is learned K times in a row. The first time as it is; each
 * next time every row has one more token of the model's own behind a random place, as the model was after the step
 * before, and the tokens after those count: so training sees what the errors of writing on lead to.
 *
 *   x x x x x x x      all count
 *   x x x y x x x      y drawn by the model behind x x x; what follows counts
 *   x x x y y x x      and so on
 *
 * Chain-of-forward training of Zhang et al., "Epona: Autoregressive Diffusion World Model", 2025,
 * https://arxiv.org/abs/2506.24113, for tokens: they move a window of frames on, and here it grows.
 */
import { collate, type TokenBatch } from "../../data/batch.ts";
import type { SequenceData } from "../../data/dataset.ts";
import type { OrderState } from "../../data/order.ts";
import { Random } from "../../data/random.ts";
import { IGNORED } from "../../data/rows.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import type { BatchSource, DrawnBatch, ReadRows } from "../../run/training/batch-source.ts";
import { embedding } from "../../tensor/ops/embedding.ts";

export const CHAIN = {
  chain_forward: {
    type: "number.integer >= 1",
    help: "learn some batches so often in a row, each time with one more token of the model's own in every row",
    value: "K",
  },
  chain_every: {
    type: "number.integer >= 1",
    default: 10,
    needs: "chain_forward",
    help: "batches from one that is learned so to the next",
    value: "N",
  },
  chain_by: {
    type: "'sampled' | 'greedy'",
    default: "sampled",
    needs: "chain_forward",
    help: "which tokens the model writes: drawn, or its likeliest ones",
  },
} as const satisfies Options;

type TokenSource = BatchSource<TokenBatch> & { readonly data: SequenceData };

/** Gives logits of places of a batch, one place of each row: (rows, V). */
export type LogitsAt = (batch: TokenBatch, places: Int32Array) => Promise<Float32Array>;

export interface ChainOptions {
  readonly times: number;
  readonly every: number;
  readonly by: "sampled" | "greedy";
  readonly seed: number;
  readonly pad: number;
}

/** A row of a chain: what the model writes takes the places from `cut` on; undefined in rows too short for it. */
interface ChainRow {
  readonly index: number;
  readonly cut: number | undefined;
  readonly written: number[];
}

interface Chain {
  readonly epoch: number;
  readonly place: number;
  readonly rows: readonly ChainRow[];
  /** Times that it was given. */
  readonly given: number;
}

/** Where the model begins to write in a row, so that something that counts is left behind `times - 1` tokens. */
function cutOf({ labels }: Sequence, times: number, random: Random): number | undefined {
  const first = labels.findIndex((label, i) => i > 0 && label >= 0);
  const choices = labels.length - (times - 1) - first;
  return first < 1 || choices < 1 ? undefined : first + random.below(choices);
}

/** The row with what the model wrote, which counts from behind it on. */
export function continued(sequence: Sequence, cut: number | undefined, written: readonly number[]): Sequence {
  if (cut === undefined || written.length === 0) return sequence;
  const ids = sequence.ids.slice();
  ids.set(written, cut);
  const labels = sequence.labels.map((label, i) => (i < cut + written.length ? IGNORED : label));
  return { ...sequence, ids, labels };
}

/** A token of logits. */
function tokenOf(logits: Float32Array, by: ChainOptions["by"], random: Random): number {
  const most = logits.reduce((a, b) => Math.max(a, b));
  if (by === "greedy") return logits.indexOf(most);
  return random.weighted(Array.from(logits, (logit) => Math.exp(logit - most)));
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isRow = (value: unknown): value is ChainRow =>
  isObject(value) &&
  isCount(value.index) &&
  (value.cut === undefined || isCount(value.cut)) &&
  Array.isArray(value.written) &&
  value.written.every(isCount);
const isChain = (value: unknown): value is Chain =>
  isObject(value) &&
  [value.epoch, value.place, value.given].every(isCount) &&
  Array.isArray(value.rows) &&
  value.rows.every(isRow);

/** The batches of `source`, some of them in chains. A run that resumes goes on within a chain. */
export function chainedBatches(source: TokenSource, logitsAt: LogitsAt, options: ChainOptions): TokenSource {
  const { times, every, by, seed, pad } = options;
  if (times === 1) return source;
  const { sequences } = source.data;
  const indices = new Map(sequences.map((sequence, i) => [sequence, i]));
  let chain: Chain | undefined;
  const batchOf = (rows: readonly ChainRow[]) =>
    collate(
      rows.map(({ index, cut, written }) => [continued(sequences[index]!, cut, written)]),
      { pad },
    );

  async function further({ epoch, place, rows, given }: Chain): Promise<DrawnBatch<TokenBatch>> {
    const before = batchOf(rows);
    const last = rows.map(({ cut = 1 }, row) => row * before.length + cut + given - 2);
    const logits = await logitsAt(before, Int32Array.from(last));
    const width = logits.length / rows.length;
    const next = rows.map((row, i) => {
      if (row.cut === undefined) return row;
      const random = new Random(seed, "chain token", place, i, given);
      const token = tokenOf(logits.subarray(i * width, (i + 1) * width), by, random);
      return { ...row, written: [...row.written, token] };
    });
    chain = given + 1 < times ? { epoch, place, rows: next, given: given + 1 } : undefined;
    return { batch: batchOf(next), epoch };
  }

  return {
    ...source,
    async next() {
      if (chain) return further(chain);
      const drawn = await source.next();
      const { epoch, batch } = source.state();
      const place = epoch * source.batchesPerEpoch + batch - 1;
      if ((place + 1) % every !== 0) return drawn;
      const rows = drawn.batch.documents.map(({ sequence }, i): ChainRow => {
        const cut = cutOf(sequence, times, new Random(seed, "chain", place, i));
        return { index: indices.get(sequence)!, cut, written: [] };
      });
      chain = { epoch: drawn.epoch, place, rows, given: 1 };
      return drawn;
    },
    state(): OrderState {
      const state = { ...source.state(), ...(chain ? { chain } : {}) };
      return state;
    },
    load(state, what) {
      source.load(state, what);
      const saved = isObject(state) ? state.chain : undefined;
      if (saved !== undefined && !(isChain(saved) && saved.rows.every(({ index }) => index < sequences.length)))
        throw new UserError(
          `${what} does not say how its chain goes on`,
          "it is damaged, or was written by another version",
        );
      chain = isChain(saved) ? saved : undefined;
    },
  };
}

/** What a model says at places of a batch, with memory for the largest. */
async function placesOf(model: Model, largest: TokenBatch) {
  const programs = new Programs(model.gpu);
  const compiled = (batch: TokenBatch) =>
    programs.get(`${batch.rows}x${batch.length}`, (rec) => {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch));
      rec.output("logits", head(embedding(rec, rec.input("places", [batch.rows], "i32"), hidden)));
    });
  await compiled(largest);
  const logitsAt: LogitsAt = async (batch, places) => {
    const { program } = await compiled(batch);
    fillInputs(program, batch);
    program.write("places", places);
    program.run();
    return program.read("logits");
  };
  return { programs, logitsAt };
}

export interface ChainedWork {
  readonly source: TokenSource;
  readonly memory: Readonly<Record<string, number>>;
  free(): void;
}

interface ChainedRun {
  readonly pack: boolean;
  readonly accumulate: number;
  readonly prompt_drop: number;
  readonly prompt_shuffle: number;
  readonly denoisers?: string | undefined;
}

/**
 * Batches in chains, where options ask for them; undefined without. Throws UserError for a model of no tokens, and for
 * options that do not go with it.
 */
export async function withChains(
  model: Model,
  source: ReadRows,
  options: Values<typeof CHAIN> & ChainedRun,
  { seed, pad }: { readonly seed: number; readonly pad: number },
): Promise<ChainedWork | undefined> {
  const { chain_forward: times, chain_every: every, chain_by: by } = options;
  if (times === undefined) return undefined;
  if (!("data" in source) || model.task !== "causal-lm")
    throw new UserError("--chain-forward is for language models, whose rows are tokens", "leave it out");
  const other = Object.entries({
    "--pack": options.pack,
    "--accumulate": options.accumulate > 1,
    "--prompt-drop": options.prompt_drop > 0,
    "--prompt-shuffle": options.prompt_shuffle > 0,
    "--denoisers": options.denoisers !== undefined,
  }).find(([, isGiven]) => isGiven);
  if (other)
    throw new UserError(`--chain-forward and ${other[0]} both say what becomes of a row`, "leave one of them out");
  const { programs, logitsAt } = await placesOf(model, source.largest());
  return {
    source: chainedBatches(source, logitsAt, { times, every, by, seed, pad }),
    memory: { chains: programs.ownBytes + programs.slots.bytes },
    free: () => programs.free(),
  };
}
