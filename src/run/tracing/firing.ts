/** Which hidden units of a model with predictors fire on rows, and which its predictors let through. */
import { type Batch, batchKey } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { mul, stopGradient } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { peaks, topMass } from "../../tensor/ops/top-mass.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** A layer with a predictor, of a pass over so many rows; (rows, units) each. */
export interface FiringLayer {
  readonly layer: number;
  readonly logits: Tensor;
  /** 1 for units that are computed. */
  readonly kept: Tensor;
  /** 1 for units that hold the first share of the response. */
  readonly fires: Tensor;
}

/** The layers of a pass, by what it noted. */
export function firing(rec: Recorder, notes: ReadonlyMap<string, Tensor>, rows: number, mass: number): FiringLayer[] {
  const found: FiringLayer[] = [];
  for (const [name, logits] of notes) {
    const [, layer] = /^predictor\.(\d+)$/.exec(name) ?? [];
    const [response, kept] = [notes.get(`response.${layer}`), notes.get(`kept.${layer}`)];
    if (layer === undefined || !response || !kept) continue;
    const own = stopGradient(rec, response);
    const fires = topMass(rec, peaks(rec, own, rowsOf(own).rows / rows), mass);
    found.push({ layer: Number(layer), logits, kept, fires });
  }
  return found;
}

/** Of a layer: its units, and shares of them. */
export interface LayerSwitches {
  readonly layer: number;
  readonly units: number;
  readonly kept: number;
  readonly fires: number;
  /** Of the units and rows on which the predictor says what happens. */
  readonly right: number;
}

export interface Switches {
  readonly layers: readonly LayerSwitches[];
  /** Mean over rows of the share of the model's operations that masks save; predictors' own are not counted. */
  readonly saved: number;
}

/** Operations of a row: of all layers, and with so many units of each layer with a predictor. */
export type Operations = (kept: readonly number[]) => number;

/** How many operations a row takes. Throws UserError for a model without predictors. */
export function operationsOf(model: Model, ref: string): Operations {
  const { json, sizes } = model;
  const number = (key: string, fallback = 0): number => (typeof json[key] === "number" ? json[key] : fallback);
  if (json.dynamic_width && model.architecture.name === "mlp")
    return (kept) => {
      const units = [number("input_size"), ...kept, sizes.outputs];
      return units.slice(1).reduce((total, out, i) => total + 2 * out * (units[i] ?? 0), 0);
    };
  if (json.dynamic_width && model.architecture.name === "vit") {
    const [patch, channels] = [number("patch_size", 16), number("num_channels", 3)];
    const patches = (number("image_size", 224) / patch) ** 2;
    const [c, t] = [sizes.width, patches + 1];
    const fixed = 2 * patches * patch ** 2 * channels * c + 2 * c * sizes.outputs;
    const attention = 2 * t * 4 * c * c + 4 * t * t * c;
    return (kept) => fixed + kept.reduce((total, units) => total + attention + 4 * t * c * units, 0);
  }
  throw new UserError(
    `${ref} has no predictors of its hidden units`,
    "train it with bun run train --dynamic-width ftwt",
  );
}

/** What predictors switch on rows of a classifier. Throws UserError for a model without predictors. */
export async function switchesOf(
  model: Model,
  batches: readonly Batch[],
  { ref, signal, done }: { readonly ref: string; readonly signal: AbortSignal; done?(rows: number): void },
): Promise<Switches> {
  const operations = operationsOf(model, ref);
  const dynamic = model.json.dynamic_width;
  const mass = typeof dynamic === "object" && dynamic && "mass" in dynamic ? Number(dynamic.mass) : 1;
  const programs = new Programs<readonly { readonly layer: number; readonly units: number }[]>(model.gpu);
  const sums = new Map<number, { units: number; kept: number; fires: number; both: number }>();
  let [rows, saved] = [0, 0];
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      const { program, recorded } = await programs.get(batchKey(batch), (rec) => {
        const { hidden, notes } = model.record(rec, recordInputs(rec, batch));
        rec.output("hidden", hidden);
        return firing(rec, notes, batch.rows, mass).map(({ layer, kept, fires }) => {
          rec.output(`kept ${layer}`, rowSum(rec, kept));
          rec.output(`fires ${layer}`, rowSum(rec, fires));
          rec.output(`both ${layer}`, rowSum(rec, mul(rec, kept, fires)));
          return { layer, units: rowsOf(kept).width };
        });
      });
      fillInputs(program, batch);
      program.run();
      const keptOf: Float32Array[] = [];
      for (const { layer, units } of recorded) {
        const [kept, fires, both] = await Promise.all(
          ["kept", "fires", "both"].map((name) => program.read(`${name} ${layer}`)),
        );
        const own = sums.get(layer) ?? { units, kept: 0, fires: 0, both: 0 };
        sums.set(layer, own);
        const total = (values: ArrayLike<number> | undefined) => Array.from(values ?? []).reduce((a, b) => a + b, 0);
        own.kept += total(kept);
        own.fires += total(fires);
        own.both += total(both);
        keptOf.push(Float32Array.from(kept ?? []));
      }
      const all = operations(recorded.map(({ units }) => units));
      for (let row = 0; row < batch.rows; row++) saved += 1 - operations(keptOf.map((kept) => kept[row] ?? 0)) / all;
      rows += batch.rows;
      done?.(batch.rows);
    }
  } finally {
    programs.free();
  }
  const layers = [...sums].map(([layer, { units, kept, fires, both }]) => {
    const all = units * rows;
    return { layer, units, kept: kept / all, fires: fires / all, right: 1 - (kept + fires - 2 * both) / all };
  });
  return { layers, saved: saved / Math.max(1, rows) };
}
