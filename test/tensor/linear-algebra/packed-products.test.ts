/**
 * Products with matrices of codes, by every kernel of wgsl/matmul, against loops in f64 over the values that
 * `matrixValues` gives; and that a weight inside a kernel is bit for bit that value.
 */
import { describe, expect, test } from "bun:test";
import { matrixValues } from "../../../src/checkpoint/quantized/matrix.ts";
import type { AdapterProfile } from "../../../src/tensor/adapter-profile.ts";
import { type Form, planGroupedProduct, planProduct } from "../../../src/tensor/linear-algebra/products.ts";
import { type CodesForm, packingOf, packRows, tableOf, unpackRows } from "../../../src/tensor/packed.ts";
import { randomCodes } from "../../support/code-matrix.ts";
import { expectWithin } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";

const gpu = await sharedGpu();
const SUBGROUPS: AdapterProfile = { subgroupSize: gpu.adapter.subgroupSize, software: true };
const TILES: AdapterProfile = { subgroupSize: 0, software: false };
const canShuffle = gpu.adapter.subgroupSize === 4 || gpu.adapter.subgroupSize === 8;
/** With INGOT_TEST_LONG=1 all kernels with all kinds of codes, which drivers on the CPU compile for a minute. */
const LONG = process.env.INGOT_TEST_LONG === "1";
const profiles: [string, AdapterProfile][] = canShuffle ? [["subgroup", SUBGROUPS]] : [["tile", TILES]];
if (canShuffle && LONG) profiles.push(["tile", TILES]);

let state = 7;
const next = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state >>> 8) / 2 ** 24;
};
const values = (count: number): Float32Array => Float32Array.from({ length: count }, () => 2 * next() - 1);

const form = (columns: number, bits: number, group: number, more: Partial<CodesForm> = {}): CodesForm => ({
  ...{ columns, bits, group, transposed: false, with: "integers", indexed: false, scaleDtype: "F32" },
  ...more,
});

/** All kinds, on columns that are no multiple of 4, of the group, or of either. */
const FORMS: Record<string, CodesForm> = {
  "4 bits": form(70, 4, 32),
  "3 bits, zeros, f16": form(67, 3, 16, { with: "zeros", scaleDtype: "F16" }),
  "5 bits, offsets, bf16": form(41, 5, 8, { with: "offsets", scaleDtype: "BF16" }),
  "4 bits of levels, by row": form(35, 4, 35, { with: "levels" }),
  "8 bits of levels, groups of no power of two": form(45, 8, 12, { with: "levels", scaleDtype: "BF16" }),
  "8 bits, one column": form(1, 8, 1),
  "4 bits, zeros, act-order": form(53, 4, 16, { with: "zeros", indexed: true, scaleDtype: "F16" }),
  "6 bits, groups of 2": form(18, 6, 2, { with: "zeros" }),
};

async function run(
  profile: AdapterProfile,
  of: CodesForm,
  product: { form: Form; m: number; rows: number },
  a: Float32Array,
) {
  const matrix = randomCodes(of, product.rows, next);
  const packing = packingOf(of);
  const [n, k] = product.form === "nt" ? [product.rows, of.columns] : [of.columns, product.rows];
  const { m } = product;
  const step = planProduct({ form: product.form, m, n, k, codes: packing, bias: true }, profile);
  const kernel = await gpu.kernel(step.kernel, step);
  const bias = values(n);
  using bufferA = gpu.upload(a, "a");
  using b = gpu.upload(packRows(packing, matrix), "codes");
  using bufferBias = gpu.upload(bias, "bias");
  using c = gpu.buffer(Math.max(16, 4 * m * n), "c");
  const words = tableOf(packing, matrix);
  using table = gpu.upload(words.length > 0 ? words : new Uint32Array(4), "table");
  const bind = { a: bufferA.buffer, b: b.buffer, c: c.buffer, bias: bufferBias.buffer };
  gpu.run(kernel, {
    bind: words.length > 0 ? { ...bind, table: table.buffer } : bind,
    params: step.params,
    groups: step.groups,
  });
  return { matrix, bias, n, k, found: await gpu.readFloats(c.buffer, m * n) };
}

const TALL = { form: "nt", m: 37, rows: 33 } as const;
const WIDE = { form: "nn", m: 37, rows: 43 } as const;
const FEW = { form: "nt", m: 2, rows: 5 } as const;
const ALL = [TALL, WIDE, FEW, { form: "nn", m: 3, rows: 6 }] as const;
/** Each kind of what is beside codes, each form of product, and few rows. */
const SHORT: Readonly<Record<string, readonly (typeof ALL)[number][]>> = {
  "3 bits, zeros, f16": [WIDE],
  "5 bits, offsets, bf16": [TALL],
  "4 bits of levels, by row": [FEW],
};

describe.each(profiles)("%s", (_, profile) => {
  for (const [name, of] of Object.entries(FORMS)) {
    const products = LONG ? ALL : (SHORT[name] ?? []);
    test.if(products.length > 0)(`${name}, whose values are bit for bit the decoder's`, async () => {
      for (const product of products) {
        const depth = product.form === "nt" ? of.columns : product.rows;
        const a = values(product.m * depth);
        // A row that is 1 at one place and 0 elsewhere takes one value out of every column.
        const [whole, place] = [product.m - 1, depth >> 1];
        a.fill(0, whole * depth).fill(1, whole * depth + place, whole * depth + place + 1);
        const { matrix, bias, n, k, found } = await run(profile, of, product, a);
        const held = matrixValues(matrix);
        const weightAt = (x: number, j: number) =>
          held[product.form === "nt" ? j * of.columns + x : x * of.columns + j]!;
        const expected = Float64Array.from({ length: product.m * n }, (_, at) => {
          const [i, j] = [Math.floor(at / n), at % n];
          let sum = bias[j]!;
          for (let x = 0; x < k; x++) sum += a[i * k + x]! * weightAt(x, j);
          return sum;
        });
        const largest = held.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        expectWithin(found, expected, () => 2 ** -22 * (4 + k) * (1 + largest), `${name} ${product.form}`);
        const taken = Float32Array.from({ length: n }, (_, j) => Math.fround(weightAt(place, j) + bias[j]!));
        expect(found.subarray(whole * n)).toEqual(taken);
      }
    });
  }

  test("experts", async () => {
    const counts = [5, 0, 40, 1];
    const [rows, out] = [46, 18];
    const offsets = new Uint32Array(counts.length + 1);
    for (const [e, count] of counts.entries()) offsets[e + 1] = offsets[e]! + count;
    for (const of of [FORMS["4 bits of levels, by row"]!, ...(LONG ? [FORMS["4 bits"]!] : [])]) {
      const packing = packingOf(of);
      const matrix = randomCodes(of, counts.length * out, next);
      const held = matrixValues(matrix);
      for (const product of LONG ? (["nt", "nn"] as const) : (["nn"] as const)) {
        const [n, k] = product === "nt" ? [out, of.columns] : [of.columns, out];
        const a = values(rows * k);
        const step = planGroupedProduct({ form: product, m: rows, n, k, rows, experts: 4, codes: packing }, profile);
        using bufferA = gpu.upload(a, "a");
        using b = gpu.upload(packRows(packing, matrix), "codes");
        using c = gpu.buffer(4 * rows * n, "c");
        using places = gpu.upload(offsets, "offsets");
        const words = tableOf(packing, matrix);
        using table = gpu.upload(words.length > 0 ? words : new Uint32Array(4), "table");
        const bind = { a: bufferA.buffer, b: b.buffer, c: c.buffer, offsets: places.buffer };
        gpu.run(await gpu.kernel(step.kernel, step), {
          bind: words.length > 0 ? { ...bind, table: table.buffer } : bind,
          params: step.params,
          groups: step.groups,
        });
        const expected = Float64Array.from({ length: rows * n }, (_, at) => {
          const [i, j] = [Math.floor(at / n), at % n];
          const first = offsets.findIndex((end, e) => e > 0 && i < end) - 1;
          let sum = 0;
          for (let x = 0; x < k; x++) {
            const [row, column] = product === "nt" ? [j, x] : [x, j];
            sum += a[i * k + x]! * held[(first * out + row) * of.columns + column]!;
          }
          return sum;
        });
        const largest = held.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const found = await gpu.readFloats(c.buffer, rows * n);
        expectWithin(found, expected, () => 2 ** -22 * (4 + k) * (1 + largest), `experts ${product}`);
      }
    }
  });
});

test("records hold what was packed", () => {
  for (const of of Object.values(FORMS)) {
    const packing = packingOf(of);
    const matrix = randomCodes(of, 5, next);
    const again = unpackRows(packing, packRows(packing, matrix), tableOf(packing, matrix));
    expect(matrixValues(again)).toEqual(matrixValues(matrix));
  }
});
