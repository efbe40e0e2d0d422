/** How large the weights of units are: the norm of all that makes a head or a hidden unit, and of all that reads it. */
import { readFloats } from "../../checkpoint/quantized/read.ts";
import { UserError } from "../../errors.ts";
import type { NamedModel } from "../../model/names.ts";
import type { Anatomy, Axis } from "../../model/structure/anatomy.ts";
import { sidesOf } from "../../model/structure/gather.ts";
import type { WidthSpace } from "../../model/structure/slice.ts";

/** Values that are held at a time. */
const PIECE = 1 << 22;

/** For each place of an axis its unit among those that are scored; undefined where it has none of them. */
function unitsOf(axis: Axis, scored: ReadonlyMap<string, Float64Array>, { spaces }: Anatomy) {
  const found: ({ readonly sums: Float64Array; readonly unit: number } | undefined)[] = [];
  for (const { space, units, size } of axis) {
    const shared = space?.replace(/^heads@/, "kv@");
    const id = [space, shared].find((one) => one !== undefined && scored.has(one));
    const sums = id === undefined ? undefined : scored.get(id);
    const group = sums ? units / (spaces.get(id ?? "")?.units ?? units) : 1;
    for (let i = 0; i < units * size; i++) found.push(sums && { sums, unit: Math.floor(Math.floor(i / size) / group) });
  }
  return found.some((one) => one) ? found : undefined;
}

/** By space, a norm of each unit. Reads the tensors that have such units, a piece at a time. */
export async function magnitudes(
  model: NamedModel,
  anatomy: Anatomy,
  spaces: readonly WidthSpace[],
  done: (tensor: string) => void = () => {},
): Promise<ReadonlyMap<string, Float64Array>> {
  const scored = new Map(spaces.map(({ id, units }) => [id, new Float64Array(units)]));
  for (const [name, axes] of anatomy.axes) {
    const entry = model.tensors.get(name);
    const sides = axes.map((axis) => unitsOf(axis, scored, anatomy));
    if (!entry || axes.length === 0 || sides.every((side) => !side)) continue;
    if (entry.patch)
      throw new UserError(
        `an adapter changes ${name} of ${model.ref}, whose weights are to be compared`,
        "write the model out first: bun run merge base+adapter --method passthrough -o FOLDER",
      );
    const [rows, columns] = sidesOf(entry.shape);
    const many = Math.max(1, Math.floor(PIECE / columns));
    for (let first = 0; first < rows; first += many) {
      const count = Math.min(many, rows - first);
      const values = await readFloats(entry, first * columns, count * columns);
      for (let r = 0; r < count; r++) {
        const row = sides[0]?.[first + r];
        for (let c = 0; c < columns; c++) {
          const square = (values[r * columns + c] ?? 0) ** 2;
          if (row) row.sums[row.unit]! += square;
          const column = sides[1]?.[c];
          if (column) column.sums[column.unit]! += square;
        }
      }
    }
    done(name);
  }
  for (const sums of scored.values()) for (const [i, x] of sums.entries()) sums[i] = Math.sqrt(x);
  return scored;
}
