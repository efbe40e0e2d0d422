/**
 * Products of many small matrices, and block-diagonal matrices: rows sorted by block, as those of experts are
 * (moe.ts), with the list of places held as a constant that all layers of a recording share.
 */
import type { Recorder } from "../recorder.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import { gather } from "./gather.ts";
import { dispatch, groupedLinear } from "./moe.ts";

interface Order {
  readonly slots: Tensor;
  readonly places: Tensor;
}

/** Constants of each recording, by what they are for. */
const known = new WeakMap<Recorder, Map<string, Tensor>>();

function constantOf(rec: Recorder, key: string, values: () => Uint32Array): Tensor {
  const own = known.get(rec) ?? new Map<string, Tensor>();
  known.set(rec, own);
  let found = own.get(key);
  if (!found) {
    const data = values();
    found = rec.constant(data, [data.length], key);
    own.set(key, found);
  }
  return found;
}

/** Where rows of equally many of each block begin. */
const offsetsOf = (rec: Recorder, blocks: number, rows: number): Tensor =>
  constantOf(rec, `${blocks} blocks of ${rows} rows`, () =>
    Uint32Array.from({ length: blocks + 1 }, (_, i) => i * rows),
  );

/** Which row of (rows, blocks) comes at each place of (blocks, rows). */
const turned = (rec: Recorder, rows: number, blocks: number): Tensor =>
  constantOf(rec, `(${rows}, ${blocks}) turned`, () =>
    Uint32Array.from({ length: rows * blocks }, (_, at) => (at % rows) * blocks + Math.floor(at / rows)),
  );

/** The order by block of rows (rows, blocks), and back. */
function ordersOf(rec: Recorder, rows: number, blocks: number): { readonly there: Order; readonly back: Order } {
  const [slots, places] = [turned(rec, rows, blocks), turned(rec, blocks, rows)];
  return { there: { slots, places }, back: { slots: places, places: slots } };
}

/** (E, m, k) times (E, k, n), matrix by matrix -> (E, m, n) */
export function blockProduct(rec: Recorder, a: Tensor, b: Tensor): Tensor {
  const [blocks = 0, m = 0, k = 0] = a.shape;
  const n = b.shape[2] ?? 0;
  expectShape(b, [blocks, k, n], "products of blocks");
  const plan = { tokens: blocks * m, k: 1, experts: blocks, offsets: offsetsOf(rec, blocks, m) };
  const y = groupedLinear(rec, rec.reshape(a, [blocks * m, k]), b, plan, { transposed: true });
  return rec.reshape(y, [blocks, m, n]);
}

/** Rows (N, E k) times the block-diagonal matrix of blocks (E, k, n) -> (N, E n) */
export function timesBlocks(rec: Recorder, x: Tensor, matrices: Tensor): Tensor {
  const [blocks = 0, k = 0, n = 0] = matrices.shape;
  const [rows = 0] = x.shape;
  expectShape(x, [rows, blocks * k], "rows for blocks");
  const tokens = rows * blocks;
  const { there, back } = ordersOf(rec, rows, blocks);
  const offsets = offsetsOf(rec, blocks, rows);
  const sorted = dispatch(rec, rec.reshape(x, [tokens, k]), { tokens, k: 1, ...there });
  const y = groupedLinear(rec, sorted, matrices, { tokens, k: 1, experts: blocks, offsets }, { transposed: true });
  return rec.reshape(dispatch(rec, y, { tokens, k: 1, ...back }), [rows, blocks * n]);
}

/** Rows (N, U w) of U stretches of equal width, of which stretch order[i] comes at place i. */
export function reorder(rec: Recorder, x: Tensor, order: readonly number[]): Tensor {
  const units = order.length;
  const [rows = 0, columns = 0] = x.shape;
  const width = columns / units;
  const tokens = rows * units;
  const back: number[] = [];
  for (const [i, from] of order.entries()) back[from] = i;
  const list = (of: readonly number[]) =>
    constantOf(rec, `(${rows}) times ${of.join()}`, () =>
      Uint32Array.from({ length: tokens }, (_, at) => Math.floor(at / units) * units + of[at % units]!),
    );
  const plan = { tokens, k: 1, slots: list(order), places: list(back) };
  return rec.reshape(dispatch(rec, rec.reshape(x, [tokens, width]), plan), x.shape);
}

/** (E, N, N) with rows as columns. */
export function turnBlocks(rec: Recorder, x: Tensor): Tensor {
  const [blocks = 0, n = 0] = x.shape;
  const cells = n * n;
  const places = Int32Array.from({ length: blocks * cells }, (_, at) => {
    const cell = at % cells;
    return (cell % n) * n + Math.floor(cell / n);
  });
  const flat = rec.reshape(x, [blocks, cells]);
  return rec.reshape(gather(rec, flat, rec.constant(places, [blocks, cells], `places of ${x.label}`)), x.shape);
}
