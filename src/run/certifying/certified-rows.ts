/** Which rows of a classifier keep their class within a ball, as interval bounds prove. */
import { batchKey, type NumbersBatch } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { correctRows } from "../../tensor/ops/correct.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { inputBox, lowerMargins } from "./margins.ts";

export interface CertifiedRow {
  /** Whether the row, as it is, gets its class. */
  readonly right: boolean;
  /** Whether it does for every input of the ball. */
  readonly certified: boolean;
  /** Mean half-width of the bounds of what the head reads. */
  readonly width: number;
}

/** Rows of batches, in their order. The model is in evaluation, its weights are f32. */
export async function certifiedRows(
  model: Model,
  batches: readonly NumbersBatch[],
  {
    epsilon,
    range,
    signal,
    done = () => {},
  }: {
    readonly epsilon: number;
    readonly range: readonly [number, number];
    readonly signal?: AbortSignal;
    readonly done?: (rows: number) => void;
  },
): Promise<CertifiedRow[]> {
  const programs = new Programs(model.gpu);
  const rows: CertifiedRow[] = [];
  for (const batch of batches) {
    signal?.throwIfAborted();
    const { program } = await programs.get(batchKey(batch), (rec) => {
      const inputs = recordInputs(rec, batch);
      if (!("x" in inputs)) throw new TypeError("texts have no boxes");
      const recorded = model.record(rec, inputs);
      const box = recorded.bounded(inputBox(rec, inputs.x, { epsilon, below: -epsilon, range }), () => {});
      const targets = recordTargets(rec, batch);
      const size = box.radius.shape[1] ?? 1;
      rec.output("right", correctRows(rec, recorded.head(recorded.hidden), targets));
      rec.output("margins", lowerMargins(rec, model, recorded, box, targets));
      rec.output("widths", rowSum(rec, box.radius, 1 / size));
    });
    fillInputs(program, batch);
    fillTargets(program, batch);
    program.run();
    const [right, margins, widths] = await Promise.all(
      ["right", "margins", "widths"].map((name) => program.read(name)),
    );
    const classes = model.sizes.outputs;
    for (let row = 0; row < batch.rows; row++) {
      const own = margins!.subarray(row * classes, (row + 1) * classes);
      const certified = own.every((margin, other) => other === batch.labels[row] || margin > 0);
      rows.push({ right: right![row]! > 0, certified, width: widths![row]! });
    }
    done(batch.rows);
  }
  programs.free();
  return rows;
}
