/**
 * Dark experience replay: rows of a buffer with the logits that the model gave them after their task. Memory on the
 * host: V floats for every token, or example, of the buffer.
 */

import type { Values } from "../../method/options.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import type { BUFFER_FROM, BufferValues } from "./buffer.ts";
import { MemoryBuffer } from "./buffer.ts";
import type { HostTensor, Learner, Part, Stage, Stream, Term } from "./contract.ts";
import { askRows } from "./outputs.ts";
import { replayPart } from "./replay.ts";
import type { RowRef } from "./rows.ts";
import { logitDistance } from "./teacher.ts";

export interface DarkValues extends BufferValues, Values<typeof BUFFER_FROM> {
  readonly alpha: number;
  /** Weight of the labels of old rows. */
  readonly beta?: number;
  /** What is held: the logits, by squared distance, or the distributions, by KL(p_old || p). */
  readonly phi?: "squares" | "entropy";
}

const keyOf = ({ task, row }: RowRef): string => `${task}:${row}`;

const INPUT = "kept_logits";

/** The logits that are kept, by row, as one tensor of a state. */
class KeptLogits {
  #values = new Float32Array();
  readonly #places = new Map<string, { readonly at: number; readonly size: number }>();

  of(ref: RowRef): Float32Array {
    const { at, size } = this.#places.get(keyOf(ref))!;
    return this.#values.subarray(at, at + size);
  }

  has(ref: RowRef): boolean {
    return this.#places.has(keyOf(ref));
  }

  /** Keeps these, and forgets all others. */
  keep(entries: readonly (readonly [RowRef, Float32Array])[]): void {
    this.lay(entries.map(([ref, values]) => [ref, values.length]));
    const places = entries.map(([ref, values]) => [this.#places.get(keyOf(ref))!.at, values] as const);
    for (const [at, values] of places) this.#values.set(values, at);
  }

  /** Makes room for rows of these sizes. */
  lay(sizes: readonly (readonly [RowRef, number])[]): void {
    this.#places.clear();
    let at = 0;
    for (const [ref, size] of sizes) {
      this.#places.set(keyOf(ref), { at, size });
      at += size;
    }
    this.#values = new Float32Array(at);
  }

  get tensor(): HostTensor {
    return { name: "logits", shape: [this.#values.length], values: this.#values };
  }
}

/** Holds the logits, or the distributions, of old rows to those that were kept. */
function keptTerm({ model, values: { phi } }: Stream<DarkValues>, kept: KeptLogits, weight: number): Term {
  const width = model.sizes.outputs;
  return {
    name: "logits",
    weight,
    record: (rec, { batch: { batch } }) => ({
      along: [rec.input(INPUT, [batch.rows * batch.length, width])],
      rows: (rec, { raw, targets, along: [theirs] }) =>
        phi === "entropy"
          ? divergence(rec, raw, theirs!, targets, { kind: "forward-kl" })
          : logitDistance(rec, raw, theirs!),
    }),
    fill(program, { batch, refs }) {
      const values = new Float32Array(batch.rows * batch.length * width);
      for (const [i, ref] of refs.entries()) values.set(kept.of(ref), i * batch.length * width);
      program.write(INPUT, values);
    },
  };
}

/** The learner of DER, and with `beta` of DER++. */
export async function darkLearner(stream: Stream<DarkValues>): Promise<Learner> {
  const { values, batchSize, model, rows, resumed } = stream;
  const buffer = await MemoryBuffer.begun(stream);
  const kept = new KeptLogits();
  /** Logits of rows that have just come, beside those that are kept. */
  const keep = async () => {
    const fresh = buffer.rows.filter((ref) => !kept.has(ref));
    const logits = await askRows(stream, fresh, "logits");
    const found = new Map(fresh.map((ref, i) => [keyOf(ref), logits[i]!]));
    kept.keep(buffer.rows.map((ref) => [ref, found.get(keyOf(ref)) ?? kept.of(ref).slice()]));
  };
  const sizeOf = (ref: RowRef) => rows.lengthOf(ref) * model.sizes.outputs;
  const partsOf = (stage: Stage): Part[] => {
    const dark =
      values.alpha === 0 ? undefined : { name: "logits", labels: 0, terms: [keptTerm(stream, kept, values.alpha)] };
    const labelled = values.beta ? { name: "labels", labels: values.beta } : undefined;
    return [dark, labelled].flatMap((part) => (part && replayPart(buffer, stage, { ...part, size: batchSize })) ?? []);
  };
  if (!resumed) await keep(); // of rows of another stream the logits are those of the model that begins
  return {
    stage: (stage) => ({ parts: partsOf(stage) }),
    async learned(stage) {
      await buffer.add(stage);
      await keep();
    },
    state: () => buffer.state(),
    load(state) {
      buffer.load(state);
      kept.lay(buffer.rows.map((ref) => [ref, sizeOf(ref)]));
    },
    kept: () => [kept.tensor],
    memoryRows: () => buffer.rows,
    memorySeen: () => buffer.seen,
  };
}
