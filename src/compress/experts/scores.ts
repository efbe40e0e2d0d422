/** How much the experts of a mixture do on rows, by layer from 0. */
import { type Batch, batchKey } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import { expertLoads } from "../../run/tracing/expert-loads.ts";
import { scoreTokens } from "../../tensor/ops/cross-entropy.ts";
import { add } from "../../tensor/ops/elementwise.ts";

export type Scores = ReadonlyMap<number, Float64Array>;

interface Reading {
  readonly ref: string;
  readonly signal: AbortSignal;
  /** Hears of rows that were read. */
  done(rows: number): void;
}

/** Tokens that each expert takes. */
export async function usesOf(model: Model, batches: readonly Batch[], reading: Reading): Promise<Scores> {
  const loads = await expertLoads(model, batches, { ...reading, groups: groupCount(batches) });
  return new Map(
    [...loads].map(([layer, groups]) => {
      const sum = new Float64Array(groups[0]!.counts.length);
      for (const { counts } of groups) for (const [e, count] of counts.entries()) sum[e]! += count;
      return [layer, sum];
    }),
  );
}

const groupCount = (batches: readonly Batch[]): number =>
  1 + Math.max(0, ...batches.flatMap((batch) => Array.from(batch.tasks)));

/** What is added to the router's logit of an expert that is to take no token. */
const SILENT = -1e30;

const ROUTER = /^router\.(\d+)$/;

/** The mean loss of a token while experts are silent. */
class SilencedLoss {
  readonly #model: Model;
  readonly #batches: readonly Batch[];
  readonly #reading: Reading;
  readonly #programs: Programs<ReadonlyMap<number, number>>;

  constructor(model: Model, batches: readonly Batch[], reading: Reading) {
    this.#model = model;
    this.#batches = batches;
    this.#reading = reading;
    this.#programs = new Programs(model.gpu);
  }

  #program(batch: Batch) {
    return this.#programs.get(batchKey(batch), (rec) => {
      const sizes = new Map<number, number>();
      const { hidden, head } = this.#model.record(rec, recordInputs(rec, batch), {
        replace(name, logits) {
          const layer = ROUTER.exec(name)?.[1];
          const experts = logits.shape[1];
          if (layer === undefined || experts === undefined) return logits;
          sizes.set(Number(layer), experts);
          return add(rec, logits, rec.input(`silent ${layer}`, [1, experts]));
        },
      });
      const { nll } = scoreTokens(rec, head(hidden), recordTargets(rec, batch));
      rec.output("nll", nll);
      return sizes;
    });
  }

  /** Experts of each layer. */
  async sizes(): Promise<ReadonlyMap<number, number>> {
    const [first] = this.#batches;
    return first ? (await this.#program(first)).recorded : new Map();
  }

  async with(silent: ReadonlyMap<number, readonly number[]>): Promise<number> {
    let [sum, count] = [0, 0];
    for (const batch of this.#batches) {
      this.#reading.signal.throwIfAborted();
      const { program, recorded } = await this.#program(batch);
      fillInputs(program, batch);
      const targets = fillTargets(program, batch);
      for (const [layer, experts] of recorded) {
        const added = new Float32Array(experts);
        for (const e of silent.get(layer) ?? []) added[e] = SILENT;
        program.write(`silent ${layer}`, added);
      }
      program.run();
      const nll = await program.read("nll");
      for (const [i, target] of targets.entries())
        if (target >= 0) {
          sum += nll[i]!;
          count++;
        }
      this.#reading.done(batch.rows);
    }
    return sum / count;
  }

  free(): void {
    this.#programs.free();
  }
}

/** The mean loss of a token while these experts of each layer are silent. */
export async function lossWithout(
  model: Model,
  batches: readonly Batch[],
  silent: ReadonlyMap<number, readonly number[]>,
  reading: Reading,
): Promise<number> {
  const loss = new SilencedLoss(model, batches, reading);
  try {
    return await loss.with(silent);
  } finally {
    loss.free();
  }
}

/** How much the mean loss rises without each expert alone. */
export async function lossesOf(model: Model, batches: readonly Batch[], reading: Reading): Promise<Scores> {
  const loss = new SilencedLoss(model, batches, reading);
  try {
    const whole = await loss.with(new Map());
    const found = new Map<number, Float64Array>();
    for (const [layer, experts] of await loss.sizes()) {
      const rises = new Float64Array(experts);
      for (const e of rises.keys()) rises[e] = (await loss.with(new Map([[layer, [e]]]))) - whole;
      found.set(layer, rises);
    }
    return found;
  } finally {
    loss.free();
  }
}

/** The `keep` experts of every layer with the largest scores, rising; of equal ones the first. */
export function bestExperts(scores: Scores, keep: number): ReadonlyMap<number, readonly number[]> {
  return new Map(
    [...scores].map(([layer, own]) => {
      const order = [...own.keys()].sort((a, b) => own[b]! - own[a]! || a - b);
      return [layer, order.slice(0, keep).sort((a, b) => a - b)];
    }),
  );
}
