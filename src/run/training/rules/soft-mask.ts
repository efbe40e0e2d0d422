/**
 * Soft masks: how much of each unit is held back, 0 to 1. A unit moves by 1 - m of what it would. CoFiTune, ACL
 * Findings 2024, https://arxiv.org/abs/2404.10306; the authors' code lays a mask over the flat tensor, here it lies
 * along rows, columns or values, as the file has it.
 */
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import type { Model } from "../../../model/model.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { sizeOf } from "../../../tensor/tensor.ts";
import { matrixOf } from "../../fisher/unit-products.ts";
import type { Along, UnitScale } from "./unit-scales.ts";
import { matchValues, readValues, spread, type Wanted, type WeightValues } from "./weight-values.ts";

export const MASK: Wanted = {
  flag: "--softmask",
  what: "masks",
  most: 1,
  hint: "measure one of this model: bun run evaluate MODEL --data FILE --probe unit-importance --unit-importance-save FILE",
};

const perRow = (own: readonly number[]): boolean => own.length < 2 || own.at(-1) === 1;

/** What shares a mask in a weight, from all that lies on it. */
function alongOf(all: readonly WeightValues[], { shape }: Parameter): Along {
  if (all.every(({ entry }) => perRow(entry.shape))) return "row";
  const ofColumns = ({ entry, shape: own }: WeightValues) =>
    own.length === shape.length && entry.shape.slice(0, -1).every((n) => n === 1);
  return all.every(ofColumns) ? "column" : "value";
}

/** Values of a part, one per unit of that part, and the place of the first unit in the weight. */
function unitsOf(values: Float32Array, { entry, shape, start }: WeightValues, along: Along, columns: number) {
  if (along === "value") return { at: start, units: spread(values, entry.shape, shape) };
  if (along === "column") return { at: 0, units: spread(values, entry.shape.slice(-1), shape.slice(-1)) };
  if (shape.length < 2) return { at: start / columns, units: spread(values, entry.shape, shape) };
  return { at: start / columns, units: spread(values, entry.shape.slice(0, -1), shape.slice(0, -1)) };
}

/** 1 - m of every unit that has a mask; where several have one, the largest m. Throws UserError. */
export async function softMasks(model: Model, files: readonly Checkpoint[]): Promise<UnitScale[]> {
  const found = files.flatMap((file) => matchValues(model, file, MASK).map((values) => ({ file, values })));
  const byWeight = Map.groupBy(found, ({ values }) => values.parameter);
  const scales: UnitScale[] = [];
  for (const [parameter, parts] of byWeight) {
    const along = alongOf(
      parts.map(({ values }) => values),
      parameter,
    );
    const { rows, columns } = matrixOf(parameter.shape);
    const factors = new Float32Array({ row: rows, column: columns, value: sizeOf(parameter.shape) }[along]).fill(1);
    for (const { file, values } of parts) {
      const { at, units } = unitsOf(await readValues(file, values, MASK), values, along, columns);
      for (const [i, mask] of units.entries()) factors[at + i] = Math.min(factors[at + i]!, 1 - mask);
    }
    scales.push({ parameter, along, factors });
  }
  return scales;
}
