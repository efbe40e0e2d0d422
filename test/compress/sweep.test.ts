/** The sweep with error feedback in all its variants, against f64. */
import { describe, expect, test } from "bun:test";
import {
  type CodeTarget,
  movedColumns,
  type Sweep,
  sweep,
  type Target,
} from "../../src/compress/second-order/sweep.ts";
import { inverseFactor } from "../../src/tensor/linear-algebra/inverse-factor.ts";
import { covers } from "../support/covers.ts";
import { sharedGpu } from "../support/gpu.ts";
import { gramOf } from "../support/layer.ts";
import { normals, randomWords } from "../support/random.ts";

covers("compress/sweep", "compress/move-columns");

const gpu = await sharedGpu();
const [ROWS, COLUMNS, GROUP] = [37, 148, 20];
const GROUPS = Math.ceil(COLUMNS / GROUP);
const W = normals(1, ROWS * COLUMNS);
const word = randomWords(5);
const MARKS = Uint32Array.from({ length: ROWS * COLUMNS }, () => word() & 1);
const groupOf = Uint32Array.from({ length: COLUMNS }, (_, j) => Math.floor(j / GROUP));
const SCALES = normals(3, ROWS * GROUPS).map((x) => 0.3 + 0.1 * Math.abs(x));
const ZEROS = Float32Array.from({ length: ROWS * GROUPS }, (_, i) => 6 + (i % 4));
const LEVELS = [-6, -3, -1.5, -0.5, 0, 0.5, 1, 2, 4].map((value, i) => ({ value, code: 8 - i }));

const mixed = normals(2, 300 * COLUMNS);
for (let i = 1; i < mixed.length; i++) mixed[i]! += 0.6 * mixed[i - 1]!;
const gram = gpu.upload(Float32Array.from(gramOf(mixed, COLUMNS).gram), "gram");
const inverse = await inverseFactor(gpu, { buffer: gram.buffer, rows: COLUMNS, columns: COLUMNS }, { damp: 0.01 });
const U = await gpu.readFloats(inverse.factor.buffer, COLUMNS * COLUMNS);

interface Chosen {
  readonly value: number;
  readonly code?: number;
}

/** What becomes of one row in f64: the values, codes and half the sum of squares of errors. */
function reference(row: number, choose: (w: Float64Array, row: number, column: number) => Chosen) {
  const w = Float64Array.from(W.subarray(row * COLUMNS, (row + 1) * COLUMNS));
  const codes: number[] = [];
  let loss = 0;
  for (let j = 0; j < COLUMNS; j++) {
    const { value, code = 0 } = choose(w, row, j);
    const e = (w[j]! - value) / U[j * COLUMNS + j]!;
    loss += (e * e) / 2;
    codes.push(code);
    w[j] = value;
    for (let k = j + 1; k < COLUMNS; k++) w[k]! -= e * U[j * COLUMNS + k]!;
  }
  return { w, codes, loss };
}

const clamp = (x: number): number => Math.min(15, Math.max(0, x));
const even = (x: number): number => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
const marked = (row: number, j: number): boolean => MARKS[row * COLUMNS + j] === 1;
const cell = (row: number, j: number): number => row * GROUPS + groupOf[j]!;

const integers = (wanted: number, at: number): Chosen => {
  const code = clamp(even(wanted / SCALES[at]!) + ZEROS[at]!);
  return { value: SCALES[at]! * (code - ZEROS[at]!), code };
};
const offsets = (wanted: number, at: number): Chosen => {
  const code = clamp(even((wanted + ZEROS[at]! / 2) / SCALES[at]!));
  return { value: code * SCALES[at]! - ZEROS[at]! / 2, code };
};
const levels = (wanted: number, at: number): Chosen => {
  const x = wanted / SCALES[at]!;
  const near = LEVELS.reduce((best, one) => (Math.abs(one.value - x) < Math.abs(best.value - x) ? one : best));
  return { value: near.value * SCALES[at]!, code: near.code };
};

let gone = new Set<number>();
const pattern =
  (keep: number, of: number) =>
  (w: Float64Array, _: number, j: number): Chosen => {
    if (j % of === 0) {
      const score = (k: number) => Math.abs(w[k]!) / U[k * COLUMNS + k]!;
      const order = Array.from({ length: of }, (_, i) => j + i).sort((a, b) => score(a) - score(b));
      gone = new Set(order.slice(0, of - keep));
    }
    return { value: gone.has(j) ? 0 : w[j]! };
  };

async function swept(given: Partial<Sweep> & Pick<Sweep, "target">) {
  using weight = gpu.upload(W, "weight");
  using losses = gpu.buffer(4 * ROWS, "losses");
  const work = { gpu, rows: ROWS, columns: COLUMNS, weight, factor: inverse.factor, losses };
  await sweep({ ...work, ...given });
  return {
    w: await gpu.readFloats(weight.buffer, ROWS * COLUMNS),
    losses: await gpu.readFloats(losses.buffer, ROWS),
  };
}

/** Rows in which no choice went the other way, whose values all agree. */
function expectAgreement(
  { w, losses }: Awaited<ReturnType<typeof swept>>,
  choose: (w: Float64Array, row: number, column: number) => Chosen,
  codes?: Uint32Array,
): void {
  let agreeing = 0;
  for (let row = 0; row < ROWS; row++) {
    const wanted = reference(row, choose);
    const own = w.subarray(row * COLUMNS, (row + 1) * COLUMNS);
    const worst = own.reduce((most, x, j) => Math.max(most, Math.abs(x - wanted.w[j]!)), 0);
    const sameCodes = !codes || wanted.codes.every((code, j) => codes[row * COLUMNS + j] === code);
    if (worst < 1e-4 && sameCodes && Math.abs(losses[row]! / wanted.loss - 1) < 1e-4) agreeing++;
  }
  // A value halfway between two may go either way in f32, and its row then goes another way.
  expect(agreeing).toBeGreaterThanOrEqual(ROWS - 1);
}

describe("zeros", () => {
  test.each([1, 16, 60, 128])("at marks, in blocks of %d", async (block) => {
    using marks = gpu.upload(MARKS, "marks");
    const found = await swept({ target: { marks: marks.buffer }, block });
    expectAgreement(found, (w, row, j) => ({ value: marked(row, j) ? 0 : w[j]! }));
    expect(found.w.every((x, i) => (x === 0) === (MARKS[i] === 1))).toBe(true);
  });

  test.each([
    [2, 4, 128],
    [1, 4, 20],
    [3, 37, 37],
  ] as const)("%d of %d are left, in blocks of %d", async (keep, of, block) => {
    if (of > 32) {
      await expect(swept({ target: { keep, of }, block })).rejects.toThrow("or those over 32");
      return;
    }
    expectAgreement(await swept({ target: { keep, of }, block }), pattern(keep, of));
  });
});

describe("codes", () => {
  const upload = (data: Float32Array | Uint32Array) => gpu.upload(data, "codes' own");
  const scales = upload(SCALES);
  const zeros = upload(ZEROS);
  const halves = upload(ZEROS.map((z) => -z / 2));
  const marks = upload(MARKS);
  const shared = { top: 15, scales: scales.buffer, groups: GROUPS, groupOf };

  const FORMS = [
    ["integers", { values: "integers", zeros: zeros.buffer }, integers],
    ["offsets", { values: "offsets", zeros: halves.buffer }, offsets],
    ["levels", { values: LEVELS }, levels],
  ] as const;
  test.each(FORMS)("%s, and with zeros at marks", async (_, form, choose) => {
    for (const masked of [false, true]) {
      using codes = gpu.buffer(4 * ROWS * COLUMNS, "codes");
      const target: Target = { ...shared, ...form, codes: codes.buffer, ...(masked ? { marks: marks.buffer } : {}) };
      const found = await swept({ target });
      const wanted = (w: Float64Array, row: number, j: number) => (masked && marked(row, j) ? 0 : w[j]!);
      const read = await gpu.readWords(codes.buffer, ROWS * COLUMNS);
      expectAgreement(found, (w, row, j) => choose(wanted(w, row, j), cell(row, j)), read);
    }
  });

  test("a scale of 0 stands for nothing but 0", async () => {
    using none = gpu.upload(new Float32Array(ROWS * GROUPS), "no scales");
    using codes = gpu.buffer(4 * ROWS * COLUMNS, "codes");
    for (const [, form] of FORMS.filter(([name]) => name !== "offsets")) {
      const target: CodeTarget = { ...shared, ...form, scales: none.buffer, codes: codes.buffer };
      expect((await swept({ target })).w.every((x) => x === 0)).toBe(true);
    }
  });
});

test("before a stretch, its weights make up for all columns before it", async () => {
  using marks = gpu.upload(MARKS, "marks");
  using weight = gpu.upload(W, "weight");
  const seen: [number, number, Float32Array][] = [];
  const before = async (from: number, to: number) => {
    seen.push([from, to, await gpu.readFloats(weight.buffer, COLUMNS)]);
  };
  const work = { gpu, rows: ROWS, columns: COLUMNS, weight, factor: inverse.factor };
  await sweep({ ...work, target: { marks: marks.buffer }, block: 64, every: 48, before });
  expect(seen.map(([from, to]) => [from, to])).toEqual([
    [0, 48],
    [48, 64],
    [64, 96],
    [96, 128],
    [128, 144],
    [144, 148],
  ]);
  for (const [from, to, found] of seen) {
    const stopped = reference(0, (w, row, j) => ({ value: j < from && marked(row, j) ? 0 : w[j]! }));
    for (let j = from; j < to; j++) expect(Math.abs(found[j]! - stopped.w[j]!)).toBeLessThan(1e-4);
  }
});

test("sizes that do not fit are refused", async () => {
  await expect(swept({ target: { keep: 2, of: 4 }, block: 30 })).rejects.toThrow("block of 30");
  await expect(swept({ target: { keep: 2, of: 5 }, block: 30 })).rejects.toThrow("columns of 148");
  await expect(swept({ target: { keep: 2, of: 4 }, block: 129 })).rejects.toThrow("is not of 1 to 128");
});

test("columns move to another order and back", async () => {
  const order = Uint32Array.from({ length: COLUMNS }, (_, i) => (5 * i + 3) % COLUMNS);
  using weight = gpu.upload(W, "weight");
  const layer = { gpu, rows: ROWS, columns: COLUMNS };
  using moved = await movedColumns(layer, weight, order);
  const there = await gpu.readFloats(moved.buffer, ROWS * COLUMNS);
  expect(there).toEqual(W.map((_, i) => W[i - (i % COLUMNS) + order[i % COLUMNS]!]!));
  using back = await movedColumns(layer, moved, order, true);
  expect(await gpu.readFloats(back.buffer, ROWS * COLUMNS)).toEqual(W);
});
