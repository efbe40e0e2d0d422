/** Rotary position embedding. Su et al. 2021, https://arxiv.org/abs/2104.09864; the half-split form of Hugging Face. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder, StepParam } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import type { RopeTables } from "./rope-scaling.ts";

export interface RopeOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly tables: RopeTables;
  /** Positions are below this. The table has so many rows: 4 * headDim bytes each. */
  readonly length: number;
}

const tables = new WeakMap<Recorder, Map<RopeTables, { readonly length: number; readonly tensor: Tensor }>>();

/** Cosines and sines, of angles rounded to f32 as the reference has them; one table for all layers of a recording. */
function tableOf(
  rec: Recorder,
  { inverseFrequencies, attentionScale }: RopeTables,
  key: RopeTables,
  length: number,
): Tensor {
  const known = tables.get(rec) ?? new Map();
  tables.set(rec, known);
  const found = known.get(key);
  if (found && found.length >= length) return found.tensor;
  const half = inverseFrequencies.length;
  const values = new Float32Array(length * half * 2);
  for (let position = 0; position < length; position++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(position * inverseFrequencies[i]!);
      const at = 2 * (position * half + i);
      values[at] = Math.cos(angle) * attentionScale;
      values[at + 1] = Math.sin(angle) * attentionScale;
    }
  }
  const tensor = rec.constant(values, [length, half, 2], "rotations");
  known.set(key, { length, tensor });
  return tensor;
}

/** x (N, heads * headDim) turned by its positions (N). */
export function rope(rec: Recorder, x: Tensor, positions: Tensor, options: RopeOptions): Tensor {
  const { heads, headDim, length } = options;
  const { rows, width } = rowsOf(x);
  if (width !== heads * headDim || sizeOf(positions.shape) !== rows)
    throw new RangeError(
      `rope: ${x.label} ${showShape(x.shape)} for ${heads} heads of ${headDim} at ${showShape(positions.shape)} positions`,
    );
  const table = tableOf(rec, options.tables, options.tables, length);
  const rotate = (from: Tensor, y: Tensor, turn: number, accumulate: StepParam) => {
    const count = sizeOf(x.shape) / 2;
    rec.step({
      kernel: "rope/rotate",
      bind: { x: from, positions, table, y },
      params: { count, heads, half: headDim / 2, last: length - 1, turn, accumulate },
      groups: spanGroups(count),
    });
  };
  const y = rec.result(x.shape, [x], `rotated ${x.label}`);
  rotate(x, y, 1, 0);
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    rotate(dy, into, -1, accumulate);
  });
  return y;
}
