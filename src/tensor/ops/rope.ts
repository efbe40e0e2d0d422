/**
 * Rotary position embedding. Su et al. 2021, https://arxiv.org/abs/2104.09864; pairs of two halves as Hugging Face has
 * them, or of neighbours.
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder, StepParam } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import type { RopeTables } from "./rope-scaling.ts";

export interface RopeOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly tables: RopeTables;
  /** Positions are below this. The table has so many rows: 8 bytes a pair each. */
  readonly length: number;
  /** Tokens of a row of the batch; only tables with `long` ask for it. */
  readonly rowLength?: number;
}

const tables = new WeakMap<Recorder, Map<RopeTables, { readonly length: number; readonly tensor: Tensor }>>();

/** Whether a document of these tables may be so long that they turn it otherwise. */
const reachesLong = ({ long }: RopeTables, length: number): boolean => long !== undefined && length > long.original;

/**
 * Cosines and sines, of angles rounded to f32 as the reference has them; one table for all layers of a recording. The
 * table of long documents follows where there can be one.
 */
function tableOf(rec: Recorder, key: RopeTables, length: number): Tensor {
  const known = tables.get(rec) ?? new Map();
  tables.set(rec, known);
  const found = known.get(key);
  if (found && (found.length === length || (found.length > length && !key.long))) return found.tensor;
  const { inverseFrequencies, attentionScale, growth, long } = key;
  const sets = [inverseFrequencies, ...(long && reachesLong(key, length) ? [long.inverseFrequencies] : [])];
  const half = inverseFrequencies.length;
  const values = new Float32Array(sets.length * length * half * 2);
  let at = 0;
  for (const frequencies of sets)
    for (let position = 0; position < length; position++) {
      const grown = growth ? 1 + growth.beta * Math.log(1 + Math.floor(position / growth.original)) : 1;
      const scale = attentionScale * grown;
      for (const frequency of frequencies) {
        const angle = Math.fround(position * frequency);
        values[at++] = Math.cos(angle) * scale;
        values[at++] = Math.sin(angle) * scale;
      }
    }
  const tensor = rec.constant(values, [sets.length * length, half, 2], "rotations");
  known.set(key, { length, tensor });
  return tensor;
}

/**
 * x (N, heads * headDim) turned by its positions (N): of every head as many pairs as the tables have, the rest stays.
 */
export function rope(rec: Recorder, x: Tensor, positions: Tensor, options: RopeOptions): Tensor {
  const { heads, headDim, tables, length, rowLength = length } = options;
  const { rows, width } = rowsOf(x);
  const half = tables.inverseFrequencies.length;
  if (width !== heads * headDim || sizeOf(positions.shape) !== rows || 2 * half > headDim)
    throw new RangeError(
      `rope: ${x.label} ${showShape(x.shape)} for ${heads} heads of ${headDim} at ${showShape(positions.shape)} positions`,
    );
  const partial = 2 * half < headDim;
  const long = reachesLong(tables, length);
  const flags = [
    ...(partial ? ["partial"] : []),
    ...(tables.interleaved ? ["interleaved"] : []),
    ...(long ? ["long"] : []),
  ];
  const table = tableOf(rec, tables, length);
  const rotate = (from: Tensor, y: Tensor, turn: number, accumulate: StepParam) => {
    const count = rows * heads * (headDim - half);
    const original = tables.long?.original ?? 0;
    rec.step({
      kernel: "rope/rotate",
      flags,
      bind: { x: from, positions, table, y },
      params: { count, heads, d: headDim, half, last: length - 1, turn, t: rowLength, original, accumulate },
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
