/**
 * Layouts that are written: the decoders read back codes, scales and values bit for bit, on odd shapes, and files of
 * the tools themselves come out as they went in.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import path from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import { dequantized } from "../../../src/checkpoint/quantized/dequantize.ts";
import { LEVELS } from "../../../src/checkpoint/quantized/levels.ts";
import { groupsOf, matrixValues, type QuantizedMatrix } from "../../../src/checkpoint/quantized/matrix.ts";
import { storedScales } from "../../../src/checkpoint/quantized/scales.ts";
import { groupColumns, type MatrixScheme, type WriteLayout } from "../../../src/checkpoint/quantized/write/contract.ts";
import { WRITE_LAYOUTS, writeLayout } from "../../../src/checkpoint/quantized/write/layouts.ts";
import { bytesOf, readIndependently } from "../sample.ts";
import { checkpointOf, type Random, random } from "./encode.ts";

const NAME = "model.layers.0.mlp.up_proj.weight";
const int = (next: Random, below: number): number => Math.floor(next() * below);

const BASE: MatrixScheme = {
  ...{ bits: 4, grid: "integer", points: "middle", group: 32, scale: "BF16", plain: "BF16" },
};
const layoutOf = (name: string): WriteLayout => {
  const found = writeLayout(name);
  if (found === undefined) throw new Error(`no layout ${name}`);
  return found;
};

/** Any codes that are numbers, and scales that the scheme's type holds. */
function randomMatrix(next: Random, rows: number, columns: number, scheme: MatrixScheme): QuantizedMatrix {
  const { bits, grid, points, scale, reordered } = scheme;
  const group = groupColumns(scheme, columns);
  const groups = groupsOf({ columns, group });
  const levels = grid === "integer" ? undefined : LEVELS[grid];
  const usable = Array.from({ length: 2 ** bits }, (_, code) => code).filter(
    (code) => levels === undefined || Number.isFinite(levels[code]!),
  );
  const raw = Float32Array.from({ length: rows * groups }, () => 2 ** -6 * (0.01 + next()));
  if (scheme.group === "tensor") raw.fill(raw[0]!);
  const divisor = scale === "F8_E4M3" ? Math.fround(1000 + next()) : undefined;
  const zeros = Uint8Array.from({ length: rows * groups }, () => int(next, 2 ** bits));
  const offsets = raw.map(() => next() - 0.5);
  return {
    ...{
      rows,
      columns,
      group,
      bits,
      codes: Uint8Array.from({ length: rows * columns }, () => usable[int(next, usable.length)]!),
    },
    scales: storedScales(raw, scale, divisor),
    ...(levels && { levels }),
    ...(divisor !== undefined && { divisor }),
    ...(points === "zeros" && { zeros }),
    ...(points === "offsets" && { offsets: storedScales(offsets, scale) }),
    ...(reordered && { groupOf: Int32Array.from({ length: columns }, () => int(next, groups)) }),
  };
}

/** Encodes, reads back as a file with its config, and compares. */
async function checkRoundTrip(layout: WriteLayout, matrix: QuantizedMatrix, scheme: MatrixScheme): Promise<void> {
  const { rows, columns } = matrix;
  const shape = [rows, columns];
  expect(layout.fits(NAME, shape, scheme)).toBeUndefined();
  const tensors = layout.encode(NAME, matrix, scheme);
  const planned = layout.plan(NAME, shape, scheme);
  expect(tensors.map(({ data: _, ...info }) => info)).toEqual(planned);
  expect(tensors.every(({ bytes, data }) => bytes === data.length)).toBeTrue();
  const config = layout.config(new Map([[NAME, scheme]]), ["lm_head"]);
  const file = checkpointOf(
    tensors.map((tensor) => ({ ...tensor })),
    config,
  );
  const { tensors: plain } = await dequantized(file);
  expect([...plain.keys()]).toEqual([NAME]);
  const entry = plain.get(NAME)!;
  expect(entry.shape).toEqual(shape);
  const expected = matrixValues(matrix);
  expect(Buffer.compare(await bytesOf(entry), new Uint8Array(expected.buffer))).toBe(0);
  const codes = await entry.codes!.read(0, rows);
  expect(Buffer.compare(codes.codes, matrix.codes)).toBe(0);
  const spread = ({ scales, group, groupOf }: QuantizedMatrix) =>
    Array.from({ length: rows * columns }, (_, n) => {
      const own = groupOf?.[n % columns] ?? Math.floor((n % columns) / group);
      return scales[Math.floor(n / columns) * groupsOf({ columns, group }) + own];
    });
  expect(spread(codes)).toEqual(spread(matrix));
}

/** Schemes and sizes of each layout: as odd as it holds. */
const CASES: Record<string, (Partial<MatrixScheme> & { size: [rows: number, columns: number] })[]> = {
  "pack-quantized": [
    { size: [5, 37], group: 16 },
    { size: [3, 64], bits: 8, points: "zeros", scale: "F16" },
    { size: [9, 50], points: "zeros", group: "row", scale: "F32" },
    { size: [7, 48], bits: 2, points: "zeros", reordered: true },
  ],
  "int-quantized": [
    { size: [5, 37], bits: 8, group: "row" },
    { size: [4, 9], bits: 8, group: "row", points: "zeros", scale: "F32" },
    { size: [6, 11], bits: 8, group: "tensor", scale: "F16" },
  ],
  "float-quantized": [
    { size: [5, 37], bits: 8, grid: "fp8-e4m3", group: "row" },
    { size: [6, 11], bits: 8, grid: "fp8-e4m3", group: "tensor", scale: "F32" },
  ],
  "nvfp4-pack-quantized": [{ size: [5, 48], grid: "fp4-e2m1", group: 16, scale: "F8_E4M3" }],
  "mxfp4-pack-quantized": [{ size: [5, 96], grid: "fp4-e2m1", group: 32, scale: "F8_E8M0" }],
  gptq: [
    { size: [37, 45], bits: 2, scale: "F16", points: "zeros", group: 16 },
    { size: [11, 33], bits: 3, scale: "F16", points: "zeros", group: 8, reordered: true },
    { size: [7, 50], bits: 4, group: "row" },
    { size: [33, 40], bits: 8, scale: "F32", points: "zeros", group: 32 },
  ],
  "gptq-v2": [{ size: [9, 43], bits: 3, scale: "F16", points: "zeros", group: 16 }],
  awq: [
    { size: [24, 37], scale: "F16", points: "zeros", group: 16 },
    { size: [8, 5], group: "row" },
  ],
  mlx: [
    ...[2, 3, 4, 5, 6].map((bits) => ({ size: [5, 96] as [number, number], bits, points: "offsets" as const })),
    { size: [3, 128], bits: 8, points: "offsets", group: 128, scale: "F32" },
  ],
  "bnb-4bit": [
    { size: [5, 192], grid: "nf4", group: 64, scale: "F32" },
    { size: [3, 128], grid: "bnb-fp4", group: 128, scale: "F32" },
  ],
  "bnb-int8": [{ size: [7, 13], bits: 8, group: "row", scale: "F32/127" }],
};

describe("what is written is read back bit for bit", () => {
  test("every layout has cases", () => {
    expect(Object.keys(CASES).sort()).toEqual(WRITE_LAYOUTS.map(({ name }) => name).sort());
  });

  for (const layout of WRITE_LAYOUTS) {
    test(layout.name, async () => {
      for (const [k, { size, ...own }] of CASES[layout.name]!.entries()) {
        const scheme = { ...BASE, ...own };
        for (const seed of [1, 2, 3]) {
          await checkRoundTrip(layout, randomMatrix(random(10 * k + seed), ...size, scheme), scheme);
        }
      }
    });
  }

  test("a file that mixes widths is read by what its config says of each weight", async () => {
    const weights = ["a.q_proj.weight", "a.k_proj.weight", "a.up_proj.weight"];
    const cases: [string, Partial<MatrixScheme>, Partial<MatrixScheme>][] = [
      ["pack-quantized", {}, { bits: 8, group: "row" }],
      ["gptq", { scale: "F16" }, { scale: "F16", bits: 3, group: 16, points: "zeros" }],
      ["mlx", { points: "offsets" }, { points: "offsets", bits: 6, group: 64 }],
    ];
    for (const [name, most, other] of cases) {
      const layout = layoutOf(name);
      const schemes = new Map(weights.map((weight, k) => [weight, { ...BASE, ...(k === 2 ? other : most) }]));
      const made = [...schemes].map(([weight, scheme], k) => ({
        weight,
        scheme,
        matrix: randomMatrix(random(k), 8, 64, scheme),
      }));
      const tensors = made.flatMap(({ weight, scheme, matrix }) => layout.encode(weight, matrix, scheme));
      const { tensors: plain } = await dequantized(
        checkpointOf(tensors, layout.config(schemes, ["lm_head", "a.v_proj"])),
      );
      expect([...plain.keys()].sort()).toEqual(weights.toSorted());
      for (const { weight, matrix } of made) {
        expect(new Float32Array((await bytesOf(plain.get(weight)!)).buffer)).toEqual(matrixValues(matrix));
      }
    }
  });
});

const GOLDEN = path.join(import.meta.dir, "../../golden/quantized");

/** How the tools' files were made, and what of them is written otherwise. */
const FILES: [folder: string, layout: string, scheme: Partial<MatrixScheme>, skipped?: RegExp][] = [
  ["ct-w4-sym", "pack-quantized", {}],
  ["ct-w4-asym", "pack-quantized", { points: "zeros" }],
  ["ct-int8-channel", "int-quantized", { bits: 8, group: "row" }],
  ["ct-fp8-channel", "float-quantized", { bits: 8, grid: "fp8-e4m3", group: "row" }],
  ["ct-fp8-tensor", "float-quantized", { bits: 8, grid: "fp8-e4m3", group: "tensor" }, /input_scale$/],
  ["nvfp4", "nvfp4-pack-quantized", { grid: "fp4-e2m1", group: 16, scale: "F8_E4M3" }],
  ["gptq-w4-actorder", "gptq", { points: "zeros", scale: "F16", reordered: true }],
  ["gptq-w8", "gptq", { bits: 8, points: "zeros", scale: "F16", reordered: true }],
  ["awq-w4", "awq", { points: "zeros", scale: "F16" }],
  ["mlx-4bit", "mlx", { points: "offsets" }],
  ["mlx-8bit", "mlx", { bits: 8, points: "offsets" }],
  ["bnb-int8", "bnb-int8", { bits: 8, group: "row", scale: "F32/127" }],
  ["bnb-nf4-nested", "bnb-4bit", { grid: "nf4", group: 64, scale: "F32" }, /absmax$|nested|quant_state/],
];

describe("files of the tools", () => {
  for (const [folder, name, own, skipped] of FILES) {
    test(`${folder} comes out as it went in`, async () => {
      const file = readIndependently(readFileSync(path.join(GOLDEN, folder, "model.safetensors")));
      const model = await open(path.join(GOLDEN, folder));
      const scheme = { ...BASE, ...own };
      const layout = layoutOf(name);
      const left = new Set(file.tensors.keys());
      for (const entry of model.tensors.values()) {
        if (entry.codes === undefined) {
          left.delete(entry.name);
          continue;
        }
        const matrix = await entry.codes.read(0, entry.codes.rows);
        const tensors = layout.encode(entry.name, matrix, scheme);
        for (const { name, dtype, shape, data } of tensors.filter((tensor) => !skipped?.test(tensor.name))) {
          const stored = file.tensors.get(name)!;
          expect([name, stored.dtype, stored.shape]).toEqual([name, dtype, [...shape]]);
          expect([name, Buffer.compare(stored.data, data)]).toEqual([name, 0]);
          left.delete(name);
        }
      }
      model.close();
      expect([...left].filter((rest) => !skipped?.test(rest))).toEqual([]);
    });
  }

  test("config.json says of them what the tools say", async () => {
    for (const [folder, name, own] of FILES) {
      const config = JSON.parse(readFileSync(path.join(GOLDEN, folder, "config.json"), "utf8"));
      const said = config.quantization_config;
      const scheme = { ...BASE, ...own, ...(folder === "gptq-w8" && { points: "middle" as const, reordered: false }) };
      const written = layoutOf(name).config(new Map([[NAME, scheme]]), ["lm_head.weight"]);
      const { quantization_config: ours, ...rest } = structuredClone(written) as Record<
        string,
        Record<string, unknown>
      >;
      if (name.endsWith("quantized")) {
        if (folder === "ct-fp8-tensor")
          said.config_groups.group_0.input_activations = (
            ours as never as typeof said
          ).config_groups.group_0.input_activations;
        expect([folder, ours!]).toEqual([folder, said]);
      } else {
        if (name.startsWith("bnb") || name === "awq")
          for (const key of ["modules_to_not_convert", "llm_int8_skip_modules"]) delete ours![key];
        if (name === "bnb-4bit") ours!.bnb_4bit_use_double_quant = true;
        expect([folder, said]).toEqual([folder, expect.objectContaining(ours!)]);
      }
      if (name === "mlx") expect(rest.quantization).toEqual(config.quantization);
    }
  });
});

test("MXFP4 of compressed-tensors is a level of e2m1 times a power of two", async () => {
  const layout = layoutOf("mxfp4-pack-quantized");
  const scheme: MatrixScheme = { ...BASE, grid: "fp4-e2m1", scale: "F8_E8M0" };
  const matrix = { ...randomMatrix(random(4), 2, 32, scheme), scales: Float32Array.of(2 ** 127, 2 ** -127) };
  const [packed, scale] = layout.encode(NAME, matrix, scheme);
  expect([...scale!.data]).toEqual([254, 0]);
  const values = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];
  const expected = Float32Array.from({ length: 64 }, (_, n) => {
    const byte = packed!.data[n >> 1]!;
    return values[n % 2 === 0 ? byte & 15 : byte >> 4]! * (n < 32 ? 2 ** 127 : 2 ** -127);
  });
  const { tensors } = await dequantized(checkpointOf([packed!, scale!], layout.config(new Map([[NAME, scheme]]), [])));
  expect(Buffer.compare(await bytesOf(tensors.get(NAME)!), new Uint8Array(expected.buffer))).toBe(0);
});

describe("what a layout cannot hold is said before there is data", () => {
  const said = (name: string, shape: number[], own: Partial<MatrixScheme> = {}, weight = NAME) =>
    layoutOf(name).fits(weight, shape, { ...BASE, ...own });

  test("in words", () => {
    expect(said("pack-quantized", [4, 32], { bits: 3 })).toBe("its bits are 2, 4, 8, not 3");
    expect(said("pack-quantized", [2, 4, 32])).toBe("it has 3 sides, not two");
    expect(said("pack-quantized", [4, 32], {}, "norm.bias")).toBe("it is not the weight of a linear layer");
    expect(said("int-quantized", [4, 32], { bits: 8 })).toBe(
      "it has a scale per row or one for all, not per 32 columns",
    );
    expect(said("float-quantized", [4, 32], { bits: 8 })).toBe("its grid is fp8-e4m3, not integer");
    expect(said("nvfp4-pack-quantized", [4, 24], { grid: "fp4-e2m1", group: 16 })).toBe(
      "its 24 columns are no whole groups of 16",
    );
    expect(said("mxfp4-pack-quantized", [4, 32], { grid: "fp4-e2m1" })).toBe("its scales is F8_E8M0, not BF16");
    expect(said("gptq", [4, 32], { points: "offsets" })).toBe("it has zero points, no offsets");
    expect(said("awq", [12, 32])).toBe("its 12 rows are no multiple of 8");
    expect(said("mlx", [4, 32])).toBe("it has offsets, no zero points");
    expect(said("bnb-4bit", [4, 96], { grid: "nf4", group: 64, scale: "F32" })).toBe(
      "its 96 columns are no whole blocks of 64",
    );
    expect(said("bnb-int8", [4, 32], { bits: 8, group: "row" })).toBe("its scales is F32/127, not BF16");
  });

  test("and a matrix that is not of its scheme is refused", () => {
    const matrix = randomMatrix(random(1), 4, 64, BASE);
    const layout = layoutOf("pack-quantized");
    const fault = (own: Partial<QuantizedMatrix>, scheme: Partial<MatrixScheme> = {}) =>
      expect(() => layout.encode(NAME, { ...matrix, ...own }, { ...BASE, ...scheme }));
    fault({ scales: matrix.scales.map((scale) => scale + 2 ** -20) }).toThrow(/scale 0\.\d+ is not exact in BF16/);
    fault({}, { points: "zeros" }).toThrow("integers about middle; the scheme has zeros");
    fault({}, { group: 16 }).toThrow("groups of 32, not 16");
    fault({ bits: 8 }).toThrow("codes of 8 bits; the scheme has 4");
    fault({ codes: matrix.codes.map(() => 16) }).toThrow("a code of more than 4 bits");
    fault({ levels: LEVELS.nf4 }).toThrow("other levels than those of integer");
    expect(() =>
      layoutOf("awq").config(
        new Map([
          ["a", BASE],
          ["b", { ...BASE, group: 64 }],
        ]),
        [],
      ),
    ).toThrow("AWQ holds one scheme, not 2");
  });
});

test("scales are rounded to what a layout stores, and nothing that is not zero becomes it", () => {
  expect([...storedScales(Float32Array.of(1e-9, 1e9, 0, 1 / 3, -1e-9), "F16")]).toEqual([
    ...[2 ** -24, 65504, 0, 0.333251953125, -(2 ** -24)],
  ]);
  expect([...storedScales(Float32Array.of(3, 4, 0.3, 0), "F8_E8M0")]).toEqual([2, 4, 0.25, 2 ** -127]);
  expect([...storedScales(Float32Array.of(2, 0.3), "F8_E4M3", 16)]).toEqual([2, 5 / 16]);
  const once = storedScales(
    Float32Array.from({ length: 500 }, (_, k) => Math.fround(0.013 * (k + 1))),
    "F32/127",
  );
  expect(storedScales(once, "F32/127")).toEqual(once);
});
