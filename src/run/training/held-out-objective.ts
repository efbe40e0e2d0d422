/**
 * Held-out batches by the objective that trains: its loss and what it reports besides, such as an accuracy of pairs,
 * with the weights as they are and no way back.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import type { SlotPool } from "../../tensor/slots.ts";
import { Programs } from "../programs.ts";
import type { GroupLoss, HeldOutMeasure } from "./held-out.ts";
import type { Objective } from "./objective.ts";

/** Held-out rows of a group, in batches of the objective's own kind. */
export interface HeldOutBatches<B> {
  readonly name: string;
  readonly rows: number;
  readonly batches: readonly B[];
}

/** Measures with an objective of one part. */
export class HeldOutObjective<B> implements HeldOutMeasure {
  readonly groups: readonly HeldOutBatches<B>[];
  readonly #objective: Objective<B>;
  /** With the names of what a program reports. */
  readonly #programs: Programs<readonly string[]>;

  /** `slots`: memory of activations that it may use between the runs of others. */
  constructor(gpu: Gpu, objective: Objective<B>, groups: readonly HeldOutBatches<B>[], slots: SlotPool) {
    if (objective.parts) throw new RangeError(`${objective.name} has several parts, and held-out rows have one`);
    [this.groups, this.#objective] = [groups, objective];
    this.#programs = new Programs(gpu, { slots });
  }

  /** Of every group means over all that it counts. `values` are numbers that the objective's programs take. */
  async losses(values: Readonly<Record<string, number>> = {}): Promise<GroupLoss[]> {
    const found: GroupLoss[] = [];
    for (const { name, batches } of this.groups) {
      const counted = batches.reduce((sum, batch) => sum + this.#objective.counted(batch, ""), 0);
      const reads: Promise<(readonly [string, number])[]>[] = [];
      for (const batch of batches) reads.push((await this.#start(batch, counted, values)).read);
      const sums: Record<string, number> = {};
      for (const [metric, value] of (await Promise.all(reads)).flat()) sums[metric] = (sums[metric] ?? 0) + value;
      const { loss = Number.NaN, ...metrics } = this.#objective.report?.(sums, batches) ?? sums;
      found.push({ name, loss: counted > 0 ? loss : Number.NaN, counted, metrics });
    }
    return found;
  }

  /** Submits a batch; what it reports comes later. */
  async #start(
    batch: B,
    total: number,
    values: Readonly<Record<string, number>>,
  ): Promise<{ readonly read: Promise<(readonly [string, number])[]> }> {
    const objective = this.#objective;
    const { program, recorded } = await this.#programs.get(objective.key(batch), (rec) => {
      const { metrics } = objective.record(rec, batch, "");
      for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
      return Object.keys(metrics);
    });
    objective.fill(program, batch, total, "");
    await program.start(values);
    const read = Promise.all(recorded.map(async (name) => [name, (await program.read(name))[0]!] as const));
    read.catch(() => {}); // awaited once all are under way
    return { read };
  }

  async free(): Promise<void> {
    this.#programs.free();
  }
}
