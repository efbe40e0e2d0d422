/**
 * The sweep of methods of second order: columns of a matrix take their last values from left to right, and each time
 * the columns after it make up for what is lost, by the inverse of the second moments of the inputs.
 *
 *   e = (W_:j - q) / U_jj      W_:k -= e U_jk for k > j      U^T U = H^-1
 *
 * What a column's values become is a `Target`: zeros at marks, zeros by a pattern, or what codes stand for.
 *
 * Frantar and Alistarh, SparseGPT, https://arxiv.org/abs/2301.00774; Frantar et al., GPTQ,
 * https://arxiv.org/abs/2210.17323. A block of columns at a time: within it a kernel goes from column to column; the
 * columns after the block take all of its errors in one product. Nothing is read back.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { foldGroups, spanGroups } from "../../gpu/grid.ts";
import { matmul } from "../../tensor/linear-algebra/matmul.ts";

/** Most columns of a block; `WIDTH` of wgsl/compress/sweep.wgsl. */
export const MOST_BLOCK = 128;

/** `ROWS` of wgsl/compress/sweep.wgsl. */
const ROWS = 32;

/** Most inputs of a pattern: a bit to each. */
export const MOST_PATTERN = 32;

/** Codes of columns. All lie on the GPU; scales and zeros may be written by `before`. */
export interface CodeTarget {
  /**
   * integers: scale (code - zero). offsets: code scale + zero. Otherwise the finite values that codes stand for, in any
   * order, to be multiplied by the scale; of two at the same distance that of the even code is taken.
   */
  readonly values: "integers" | "offsets" | readonly { readonly value: number; readonly code: number }[];
  /** The largest code of integers and offsets. */
  readonly top: number;
  /** (rows, groups) f32 */
  readonly scales: GPUBuffer;
  /** (rows, groups) f32; not read where `values` are levels. */
  readonly zeros?: GPUBuffer;
  readonly groups: number;
  /** Group of every column (columns). */
  readonly groupOf: Uint32Array;
  /** (rows, columns) u32, written. */
  readonly codes: GPUBuffer;
  /** (rows, columns) u32: 1 where the value is to be that which is nearest to 0. */
  readonly marks?: GPUBuffer;
}

export type Target =
  /** (rows, columns) u32: 1 where a weight becomes 0. `before` may write them. */
  | { readonly marks: GPUBuffer }
  /** All but `keep` of every `of` columns become 0, those with the least (W_ij / U_jj)^2 when the first is reached. */
  | { readonly keep: number; readonly of: number }
  | CodeTarget;

export interface Sweep {
  readonly gpu: Gpu;
  readonly rows: number;
  readonly columns: number;
  /** W (rows, columns), f32, changed in place. */
  readonly weight: PooledBuffer;
  /** U (columns, columns), of `inverseFactor`. */
  readonly factor: PooledBuffer;
  readonly target: Target;
  /** Columns of a block, at most MOST_BLOCK, which is taken when left out. */
  readonly block?: number;
  /**
   * Called before columns from `from` to `to` take their values. W then is what columns before `from` have left of it,
   * in all columns of the block; the columns after the block know the errors of the blocks before this one only. It may
   * record work on the GPU: marks of these columns, or scales of groups that begin here.
   */
  before?(from: number, to: number): Promise<void>;
  /** Columns between calls of `before`, beside those at the beginning of blocks; blocks alone when left out. */
  readonly every?: number;
  /** (rows) f32, set to half the sums of the squares of e. */
  readonly losses?: PooledBuffer;
  readonly signal?: AbortSignal;
}

const variantOf = (target: Target): string[] => {
  if ("of" in target) return ["pattern"];
  if (!("codes" in target)) return ["masked"];
  const form = target.values === "integers" ? [] : target.values === "offsets" ? ["offsets"] : ["levels"];
  return ["coded", ...form, ...(target.marks ? ["masked"] : [])];
};

interface TargetBindings {
  /** What was uploaded, for the caller to free. */
  readonly held: readonly PooledBuffer[];
  readonly bind: Readonly<Record<string, GPUBuffer>>;
  readonly params: Readonly<Record<"keep" | "of_inputs" | "groups" | "top", number>>;
}

/** What of a target goes to the kernel. */
function bindingsOf(gpu: Gpu, target: Target): TargetBindings {
  const sizes = { keep: 0, of_inputs: 1, groups: 0, top: 0 };
  const held: PooledBuffer[] = [];
  const upload = (data: ArrayBufferView, label: string): GPUBuffer => {
    const buffer = gpu.upload(data, label);
    held.push(buffer);
    return buffer.buffer;
  };
  if ("of" in target) return { held, bind: {}, params: { ...sizes, keep: target.keep, of_inputs: target.of } };
  if (!("codes" in target)) return { held, bind: { marks: target.marks }, params: sizes };
  const { values, scales, zeros, groups, groupOf, codes, marks } = target;
  const levels = typeof values === "string" ? undefined : values.toSorted((a, b) => a.value - b.value);
  if (!levels && !zeros) throw new RangeError("codes of integers need zero points, and those of offsets offsets");
  const bind = {
    scales,
    codes,
    group_of: upload(groupOf, "groups of columns"),
    ...(marks ? { marks } : {}),
    ...(levels
      ? { levels: upload(Float32Array.from(levels.flatMap(({ value, code }) => [value, code])), "levels") }
      : zeros && { zeros }),
  };
  return { held, bind, params: { ...sizes, groups, top: levels ? levels.length - 1 : target.top } };
}

/** The columns from which stretches of a block begin, and its end. */
function stopsOf(start: number, end: number, every: number): number[] {
  const stops = [start];
  for (let at = (Math.floor(start / every) + 1) * every; at < end; at += every) stops.push(at);
  return [...stops, end];
}

function checkSweep({ columns, block = MOST_BLOCK, every, target }: Sweep): void {
  if (!(block >= 1 && block <= MOST_BLOCK))
    throw new RangeError(`a block of ${block} columns is not of 1 to ${MOST_BLOCK}`);
  if (every !== undefined && !(every >= 1)) throw new RangeError(`no stretches of ${every} columns`);
  if (!("of" in target)) return;
  const { of } = target;
  for (const [what, size] of Object.entries({ columns, block: Math.min(block, columns), stretches: every ?? of }))
    if (of > MOST_PATTERN || size % of !== 0)
      throw new RangeError(`${what} of ${size} are no multiple of a pattern's ${of} inputs, or those over 32`);
}

/** Goes over all columns. Throws RangeError where sizes do not fit. */
export async function sweep(work: Sweep): Promise<void> {
  checkSweep(work);
  const { gpu, rows, columns, weight, factor, target, block = MOST_BLOCK, before, every = columns, signal } = work;
  using errors = gpu.buffer(4 * rows * MOST_BLOCK, "errors");
  using own = gpu.buffer(4 * rows, "losses");
  const losses = work.losses ?? own;
  gpu.clear(losses.buffer, 4 * rows);
  const kernel = await gpu.kernel("compress/sweep", { flags: variantOf(target) });
  const { held, bind, params } = bindingsOf(gpu, target);
  const buffers = {
    factor: factor.buffer,
    weight: weight.buffer,
    errors: errors.buffer,
    losses: losses.buffer,
    ...bind,
  };
  try {
    for (let start = 0; start < columns; start += block) {
      signal?.throwIfAborted();
      const end = Math.min(start + block, columns);
      const stops = stopsOf(start, end, every);
      for (const [i, from] of stops.slice(0, -1).entries()) {
        const to = stops[i + 1] ?? end;
        await before?.(from, to);
        const places = { rows, columns, start, from_column: from, to_column: to, end };
        gpu.run(kernel, {
          bind: buffers,
          params: { ...places, ...params },
          groups: foldGroups(Math.ceil(rows / ROWS)),
        });
      }
      if (end === columns) break;
      const rest = { columns: columns - end, pitch: columns };
      const a = { buffer: errors.buffer, rows, columns: end - start, pitch: MOST_BLOCK };
      const b = { buffer: factor.buffer, rows: end - start, start: start * columns + end, ...rest };
      const c = { buffer: weight.buffer, rows, start: end, ...rest };
      await matmul(gpu, { form: "nn", a, b, c, scale: -1, accumulate: true });
    }
  } finally {
    for (const one of held) one.free();
  }
}

/** Columns in another order, in a buffer that the caller frees, or with `back` put back from it. */
export async function movedColumns(
  { gpu, rows, columns }: Pick<Sweep, "gpu" | "rows" | "columns">,
  weight: PooledBuffer,
  order: Uint32Array,
  back = false,
): Promise<PooledBuffer> {
  const moved = gpu.buffer(4 * rows * columns, "weight in another order");
  using places = gpu.upload(order, "order");
  const kernel = await gpu.kernel("compress/move-columns");
  const bind = { x: weight.buffer, order: places.buffer, y: moved.buffer };
  gpu.run(kernel, { bind, params: { rows, columns, back: Number(back) }, groups: spanGroups(rows * columns) });
  return moved;
}
