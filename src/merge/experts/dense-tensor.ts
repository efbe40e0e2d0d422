/** A matrix of a dense feed-forward network made of a layer's experts, and of its shared one beside them. */
import { encodeFloats } from "../../checkpoint/decode.ts";
import type { Matrix } from "./form.ts";
import { type Alignments, type MergedPlace, meanMatrix } from "./merged-experts.ts";
import type { MixtureLayer } from "./mixture.ts";
import { copied, infoOf, type MadeTensor, readValues } from "./values.ts";

export interface DensePlace extends MergedPlace {
  /** What the weights of a token's experts sum to. */
  readonly routed: number;
  /** What the shared expert counts. */
  readonly shared: number;
}

/** Rows of two matrices side by side: (R, A) and (R, B) to (R, A + B), each times a factor. */
function sideBySide(a: Float32Array, b: Float32Array, rows: number, [x, y]: readonly [number, number]): Float32Array {
  const [left, right] = [a.length / rows, b.length / rows];
  const both = new Float32Array(a.length + b.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < left; c++) both[r * (left + right) + c] = x * a[r * left + c]!;
    for (let c = 0; c < right; c++) both[r * (left + right) + left + c] = y * b[r * right + c]!;
  }
  return both;
}

/** The matrix under a name of the result; `place` is asked for when it is written. */
export function denseTensor(
  name: string,
  { parts, matrix }: { readonly parts: MixtureLayer; readonly matrix: Matrix },
  place: () => DensePlace,
  alignments: Alignments,
): MadeTensor {
  const entry = parts.experts[0]![matrix];
  const { dtype } = entry;
  const [rows = 0, columns = 0] = entry.shape;
  const beside = parts.shared?.[matrix];
  const wider = beside ? beside.shape[matrix === "down" ? 1 : 0]! : 0;
  const shape = matrix === "down" ? [rows, columns + wider] : [rows + wider, columns];
  return {
    ...infoOf(name, dtype, shape),
    async *pieces() {
      const found = place();
      const [only, ...others] = found.group.members;
      const scales = matrix === "down" ? ([found.routed, found.shared] as const) : ([1, 1] as const);
      if (others.length === 0 && !beside) {
        yield* copied(parts.experts[only!]![matrix], name, dtype, { scale: scales[0] }).pieces();
        return;
      }
      const mean = await meanMatrix(found, matrix, alignments);
      const shared = beside ? await readValues(beside) : new Float32Array();
      yield encodeFloats(sideBySide(mean, shared, matrix === "down" ? rows : 1, scales), dtype);
    },
  };
}
