/** Which experts of a routed adapter the rows of each group of the data take first. */
import { type Batch, isTokens } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { choicesOf } from "../../model/adapters/told.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** Counts of first choices, by group and expert, of one router. */
export interface RouterCounts {
  readonly experts: number;
  /** By group: (experts) */
  readonly groups: readonly Float64Array[];
}

/** Rows of a router that count, with the group of each: those of tokens, without padding, or those of the batch. */
function countedRows(batch: Batch, rows: number): (readonly [row: number, group: number])[] {
  const groups = [...batch.tasks];
  if (rows === batch.rows) return groups.map((group, row) => [row, group] as const);
  const each = rows / batch.rows;
  return groups.flatMap((group, row) => {
    const own = isTokens(batch) && each === batch.length ? batch.lengths[row]! : each;
    return Array.from({ length: own }, (_, i) => [row * each + i, group] as const);
  });
}

function firstOf(worth: Float32Array): number {
  let best = 0;
  for (const [i, x] of worth.entries()) if (x > worth[best]!) best = i;
  return best;
}

/** By the router's name. Throws UserError for a model whose adapter has none. Host memory: one batch's logits. */
export async function adapterRoutes(
  model: Model,
  batches: readonly Batch[],
  { ref, groups, signal, done }: { ref: string; groups: number; signal: AbortSignal; done: (rows: number) => void },
): Promise<ReadonlyMap<string, RouterCounts>> {
  const programs = new Programs<readonly (readonly [string, readonly number[]])[]>(model.gpu);
  const found = new Map<string, RouterCounts>();
  for (const batch of batches) {
    signal.throwIfAborted();
    const { program, recorded } = await programs.get(`${batch.rows}x${batch.length}`, (rec) => {
      rec.output("hidden", model.record(rec, recordInputs(rec, batch)).hidden);
      const choices = choicesOf(rec);
      for (const [name, worth] of choices) rec.output(`routes of ${name}`, worth);
      return [...choices].map(([name, { shape }]) => [name, shape] as const);
    });
    if (recorded.length === 0)
      throw new UserError(
        `${ref} has no adapter with a router`,
        "such adapters are lora-mixer, l2m and mixda, as base/+adapter/",
      );
    fillInputs(program, batch);
    program.run();
    for (const [name, [rows = 0, experts = 0]] of recorded) {
      const counts = found.get(name) ?? {
        experts,
        groups: Array.from({ length: groups }, () => new Float64Array(experts)),
      };
      found.set(name, counts);
      const worth = (await program.read(`routes of ${name}`)) as Float32Array;
      for (const [row, group] of countedRows(batch, rows))
        counts.groups[group]![firstOf(worth.subarray(row * experts, (row + 1) * experts))]!++;
    }
    done(batch.rows);
  }
  programs.free();
  return found;
}
