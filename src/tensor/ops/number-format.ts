/**
 * Number formats in f32: values as they would come back from a few bits, with gradients that pass straight through, or
 * that are rounded on the way back. Formats are those of checkpoint/numbers, whose values on the host these are.
 */

import { LevelTable } from "../../checkpoint/numbers/level-table.ts";
import type { NumberFormat, ScaledFormat } from "../../checkpoint/numbers/number-format.ts";
import { UserError } from "../../errors.ts";
import { spanGroups } from "../../gpu/grid.ts";
import { dynamic, type Recorder, type Target } from "../recorder.ts";
import { expectShape, rowsOf, sizeOf, type Tensor } from "../tensor.ts";
import { rowWork } from "./reduce.ts";

/** Name of the dynamic value that must differ from run to run. */
const SEED = "seed";
/** Bits of infinity in f32. */
const INFINITE = 0x7f800000;

/** A float whose steps grow from an exponent on, up to an end. */
interface Arithmetic {
  readonly mantissa: number;
  readonly least: number;
  readonly end: number;
  /** What values past the end are; 0: the end. */
  readonly past: number;
}

/** Digits and least exponents of the floats; f32 has no normal step below that of bf16's 2^-119. */
const FLOATS: Readonly<Record<string, readonly [mantissa: number, least: number]>> = {
  "fp8-e4m3": [3, -6],
  "fp8-e5m2": [2, -14],
  "fp6-e3m2": [2, -2],
  "fp6-e2m3": [3, 0],
  "fp4-e2m1": [1, 0],
};

const PLAIN: Readonly<Record<"F16" | "BF16", Arithmetic>> = {
  F16: { mantissa: 10, least: -14, end: 65504, past: INFINITE },
  BF16: { mantissa: 7, least: -119, end: 3.3895313892515355e38, past: INFINITE },
};

/** Throws UserError for levels that are no float's. */
function arithmeticOf(format: NumberFormat): Arithmetic {
  if (format.kind === "plain") return PLAIN[format.dtype];
  const { largest: end } = new LevelTable(format);
  if (format.grid === "integer") return { mantissa: format.bits - 1, least: format.bits - 1, end, past: 0 };
  const [mantissa, least] = FLOATS[format.grid] ?? [];
  if (mantissa === undefined || least === undefined)
    throw new UserError(
      `${format.name} stores numbers and computes with none: its levels are no float's`,
      "take a format of integers or floats, int4 or fp4-e2m1 for one",
    );
  return { mantissa, least, end, past: 0 };
}

/** Whether a format can be computed with. Throws UserError where not. */
export const checkArithmetic = (format: NumberFormat): void => void arithmeticOf(format);

const isPower = (value: number): boolean => Number.isInteger(Math.log2(value));

interface Scales {
  /** (rows, groups) */
  readonly scales: Tensor;
  readonly group: number;
  readonly groups: number;
}

/** Scales of x (rows, columns) as a format chooses them. */
function scalesOf(rec: Recorder, x: Tensor, format: ScaledFormat, end: number): Scales {
  const { rows, width: columns } = rowsOf(x);
  const group = typeof format.group === "number" ? Math.min(format.group, columns) : columns;
  const groups = Math.ceil(columns / group);
  const cells = rows * groups;
  const largest = (of: Tensor, n: number, width: number, own: number): Tensor => {
    const count = n * Math.ceil(width / own);
    const top = rec.scratch([count], `largest of ${of.label}`);
    rec.step({
      kernel: "number-format/largest",
      bind: { x: of, top },
      params: { rows: n, columns: width, group: own, groups: Math.ceil(width / own) },
      ...rowWork(rec, count, own),
    });
    return top;
  };
  const top = largest(x, rows, columns, group);
  const single = format.group === "tensor";
  const whole = single || format.rule === "divided" ? largest(top, 1, cells, cells) : top;
  const scales = rec.scratch([cells], `scales of ${x.label}`);
  const rounding = format.scale === "BF16" ? ["half"] : isPower(end) ? [] : ["digits"];
  rec.step({
    kernel: "number-format/scales-of",
    flags: format.rule === "absmax" ? rounding : [format.rule],
    bind: { top, whole, scales },
    params: { cells, single: single ? 1 : 0, end, power: 2 ** Math.floor(Math.log2(end)) },
    groups: spanGroups(cells),
  });
  return { scales, group, groups };
}

export interface FormatOptions {
  /** Stochastic: drawn by this, the dynamic "seed", and the place. To nearest when left out. */
  readonly key?: string | undefined;
  /** (1): a power of two by which values are multiplied before, and divided by afterwards; 1 when left out. */
  readonly factor?: Tensor | undefined;
}

/** Puts x in a format into `into`. */
function round(rec: Recorder, x: Tensor, format: NumberFormat, { into, accumulate }: Target, options: FormatOptions) {
  const { key, factor } = options;
  const { mantissa, least, end, past } = arithmeticOf(format);
  const count = sizeOf(x.shape);
  const scaled = format.kind === "scaled" ? scalesOf(rec, x, format, end) : undefined;
  rec.step({
    kernel: "number-format/in-format",
    flags: [...(scaled ? ["scaled"] : []), ...(key === undefined ? [] : ["drawn"]), ...(factor ? ["factored"] : [])],
    bind: { x, ...(scaled ? { scales: scaled.scales } : {}), ...(factor ? { factor } : {}), y: into },
    params: {
      ...{ count, mantissa, least, end, past, accumulate },
      columns: rowsOf(x).width,
      group: scaled?.group ?? 1,
      groups: scaled?.groups ?? 1,
      key: key === undefined ? 0 : Number(BigInt.asUintN(32, BigInt(Bun.hash.xxHash32(key)))),
      seed: key === undefined ? 0 : dynamic(SEED),
    },
    groups: spanGroups(count),
  });
}

/**
 * x (..., columns) as it would come back from a format. Its gradient is that of x: straight through. Throws UserError
 * for a format that is no arithmetic.
 */
export function inFormat(rec: Recorder, x: Tensor, format: NumberFormat, options: FormatOptions = {}): Tensor {
  const y = rec.result(x.shape, [x], `${x.label} in ${format.name}`);
  round(rec, x, format, { into: y, accumulate: 0 }, options);
  rec.onBackward(y, (dy) => rec.addGradient(x, dy));
  return y;
}

/** x itself, whose gradient is rounded to a format. */
export function gradientInFormat(rec: Recorder, x: Tensor, format: NumberFormat, options: FormatOptions = {}): Tensor {
  if (!x.needsGrad) return x;
  const y = rec.result(x.shape, [x], `${x.label}, back in ${format.name}`);
  rec.step({
    kernel: "recorder/add-into",
    bind: { x, y },
    params: { n: sizeOf(x.shape), accumulate: 0 },
    groups: spanGroups(Math.ceil(sizeOf(x.shape) / 4)),
  });
  rec.onBackward(y, (dy) => round(rec, dy, format, rec.gradient(x), options));
  return y;
}

/** What is rounded to steps that are learnt. */
export interface LearnedSteps {
  /** (rows), f32; the weight has as many rows when it is seen as a matrix of its last dimension. */
  readonly steps: Tensor;
  /** Largest integer. */
  readonly most: number;
}

/**
 * s clip(round(w / s), -most, most), a step s for every row: learned step size quantization. Gradients go to the weight
 * where it is within the range, and to the steps times 1 / sqrt(columns most). Esser et al., ICLR 2020,
 * https://arxiv.org/abs/1902.08153
 */
export function learnedSteps(rec: Recorder, weight: Tensor, { steps, most }: LearnedSteps): Tensor {
  const { rows, width: columns } = rowsOf(weight);
  expectShape(steps, [rows], "learned steps");
  const y = rec.result(weight.shape, [weight, steps], `${weight.label} in learned steps`);
  const count = rows * columns;
  rec.step({
    kernel: "number-format/learned-steps",
    bind: { w: weight, s: steps, y },
    params: { count, columns, most },
    groups: spanGroups(count),
  });
  rec.onBackward(y, (dy) => {
    const dw = weight.needsGrad ? rec.gradient(weight) : undefined;
    const ds = steps.needsGrad ? rec.gradient(steps) : undefined;
    const { flags, groups } = rowWork(rec, rows, columns);
    rec.step({
      kernel: "number-format/learned-steps-gradient",
      flags: [...flags, ...(dw ? ["weights"] : []), ...(ds ? ["steps"] : [])],
      bind: { w: weight, s: steps, dy, ...(dw ? { dw: dw.into } : {}), ...(ds ? { ds: ds.into } : {}) },
      params: {
        ...{ rows, columns, most, factor: 1 / Math.sqrt(columns * most) },
        accumulate_w: dw?.accumulate ?? 0,
        accumulate_s: ds?.accumulate ?? 0,
      },
      groups,
    });
  });
  return y;
}

/** Steps as they begin: 2 mean |w| / sqrt(most) of every row. */
export const firstSteps = (weight: Float32Array, rows: number, most: number): Float32Array => {
  const columns = weight.length / rows;
  return Float32Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += Math.abs(weight[row * columns + c]!);
    return Math.max(1e-8, (2 * sum) / columns / Math.sqrt(most));
  });
};
