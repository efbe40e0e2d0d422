/** What the blocks of a language model hold at one place of each row: where its answer begins. */
import { collate } from "../../data/batch.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { rowsOf } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

export interface StatesAt {
  /** By block, what it gives; the first is what the first block reads. */
  readonly layers: readonly { readonly layer: string; readonly width: number; readonly rows: Float32Array[] }[];
}

/** The token from which the first one that counts is predicted. */
export function answerPlace({ labels }: Sequence): number {
  const first = labels.findIndex((label, i) => i > 0 && label >= 0);
  return Math.max(0, first - 1);
}

/** Reads `rows` sequences at once; memory of the host is a state per row and block. */
export async function statesAt(
  model: Model,
  sequences: readonly Sequence[],
  { rows, pad, signal, done }: { rows: number; pad: number; signal: AbortSignal; done?: (rows: number) => void },
): Promise<StatesAt> {
  const programs = new Programs<readonly { readonly layer: string; readonly width: number }[]>(model.gpu);
  const found = new Map<string, { layer: string; width: number; rows: Float32Array[] }>();
  try {
    for (let at = 0; at < sequences.length; at += rows) {
      signal.throwIfAborted();
      const part = sequences.slice(at, at + rows);
      const batch = collate(
        part.map((sequence) => [sequence]),
        { pad },
      );
      const { program, recorded } = await programs.get(`${batch.rows} ${batch.length}`, (rec) => {
        const { notes } = model.record(rec, recordInputs(rec, batch));
        const ids = rec.input("places", [batch.rows], "i32");
        return [...notes]
          .filter(([name, x]) => /^hidden\.\d+$/.test(name) && x.storage.kind === "activation")
          .map(([layer, x]) => {
            const { rows: all, width } = rowsOf(x);
            rec.output(`states of ${layer}`, embedding(rec, ids, rec.reshape(x, [all, width])));
            return { layer, width };
          });
      });
      fillInputs(program, batch);
      program.write(
        "places",
        Int32Array.from(part, (sequence, row) => row * batch.length + answerPlace(sequence)),
      );
      program.run();
      for (const { layer, width } of recorded) {
        const values = await program.read(`states of ${layer}`);
        const known = found.get(layer) ?? { layer, width, rows: [] };
        found.set(layer, known);
        for (let row = 0; row < part.length; row++) known.rows.push(values.slice(row * width, (row + 1) * width));
      }
      done?.(part.length);
    }
  } finally {
    programs.free();
  }
  return { layers: [...found.values()] };
}
