/**
 * Weights that stay codes on the GPU: those of a quantized checkpoint as they are stored, those of a plain one rounded
 * while they are loaded, to NF4 with a scale for every 64 columns (Dettmers et al. 2023,
 * https://arxiv.org/abs/2305.14314) or to integers of 8 bits with a scale for each row (Dettmers et al. 2022,
 * https://arxiv.org/abs/2208.07339), which bitsandbytes takes for `load_in_4bit` and `load_in_8bit`.
 *
 * NF4's scales are the largest magnitudes of their columns, so that those of a checkpoint in bf16 or f16 are exact in
 * two bytes: 4.25 bits a weight, where nested scales of a byte would take 4.13.
 */
import { patchedValues } from "../checkpoint/adapter/adapter.ts";
import { patchRange } from "../checkpoint/adapter/patch.ts";
import { isStackPatch, type TensorEntry } from "../checkpoint/checkpoint.ts";
import { decodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../checkpoint/dtype.ts";
import { LEVELS } from "../checkpoint/quantized/levels.ts";
import type { QuantizedMatrix } from "../checkpoint/quantized/matrix.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type CodesForm, packingOf, packRows, tableOf } from "../tensor/packed.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { ParameterSpec } from "./architecture.ts";
import { isHiddenMatrix } from "./hidden.ts";

/** What matrices that no file holds as codes are rounded to; "stored": nothing. */
export type LoadIn = "4bit" | "8bit" | "stored";

const NF4_GROUP = 64;
const MOST_8 = 127;

/** Values on their way at a time. */
const PIECE = 4 << 20;

/** Whether a weight may be codes: matrices of hidden layers and of experts, neither embeddings, heads nor routers. */
export const mayBeCodes = (spec: ParameterSpec, headModules: readonly string[] | undefined): boolean =>
  isHiddenMatrix(spec, headModules ?? []) ||
  (spec.shape.length === 3 && !spec.small && (spec.stack !== undefined || spec.parts !== undefined));

/** Whether a tensor is codes as it is stored. */
const isStoredCodes = ({ codes, patch }: TensorEntry): boolean => codes !== undefined && patch === undefined;

/** What a tensor is, or would be rounded to, as codes; undefined where it stays as it is. */
function formOf({ codes, patch, shape, dtype }: TensorEntry, loadIn: LoadIn): CodesForm | undefined {
  if (codes && !patch) return codes;
  if (loadIn === "stored") return undefined;
  const columns = shape.at(-1)!;
  const plain = { columns, transposed: false, indexed: false };
  if (loadIn === "8bit") return { ...plain, bits: 8, group: columns, with: "integers", scaleDtype: "F32" };
  const scaleDtype = !patch && (dtype === "BF16" || dtype === "F16") ? dtype : "F32";
  return { ...plain, bits: 4, group: Math.min(NF4_GROUP, columns), with: "levels", scaleDtype };
}

/** What says that two matrices can share a stack. */
const spelled = ({ columns, bits, group, transposed, with: kind, indexed, scaleDtype }: CodesForm): string =>
  JSON.stringify([columns, bits, group, transposed, kind, indexed, scaleDtype]);

/**
 * What the weight that these tensors make is as codes. Undefined where one is none, where they differ, and where every
 * matrix of a stack has an order of columns of its own. Throws UserError where they would be rounded again and again,
 * as they are `offloaded`.
 */
export function codesForm(entries: readonly TensorEntry[], loadIn: LoadIn, offloaded = false): CodesForm | undefined {
  const [first, ...others] = entries.map((entry) => formOf(entry, loadIn));
  if (!first || (others.length > 0 && first.indexed)) return undefined;
  if (!others.every((other) => other && spelled(other) === spelled(first))) return undefined;
  if (offloaded && !entries.every(isStoredCodes))
    throw new UserError(
      `--load-in ${loadIn} rounds weights as they are read, and --offload reads them again and again`,
      "write a quantized checkpoint first (compress), or leave one of them out",
    );
  return first;
}

/** For every step of 1 / 512 from -1 to 1 the lowest code that a value from there on may have. */
const MIDDLES = Float64Array.from({ length: 15 }, (_, code) => (LEVELS.nf4[code]! + LEVELS.nf4[code + 1]!) / 2);
const STEPS = 512;
const LOWEST = Uint8Array.from({ length: 2 * STEPS + 1 }, (_, step) => {
  const found = MIDDLES.findIndex((middle) => step / STEPS - 1 <= middle);
  return found < 0 ? 15 : found;
});

/** The nearest of the 16, for a value from -1 to 1. */
function nf4Code(x: number): number {
  let code = LOWEST[Math.trunc((x + 1) * STEPS)]!;
  while (code < 15 && x > MIDDLES[code]!) code++;
  return code;
}

/** Rows of values as codes. A group without any value but 0 has the scale 0. */
export function roundedRows(values: Float32Array, form: CodesForm): QuantizedMatrix {
  const { columns, bits, group, with: kind } = form;
  const rows = values.length / columns;
  const groups = Math.ceil(columns / group);
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(rows * groups);
  for (let cell = 0; cell < scales.length; cell++) {
    const [row, g] = [Math.floor(cell / groups), cell % groups];
    const [from, to] = [row * columns + g * group, row * columns + Math.min(columns, (g + 1) * group)];
    let most = 0;
    for (let i = from; i < to; i++) most = Math.max(most, Math.abs(values[i]!));
    scales[cell] = kind === "levels" ? most : most / MOST_8;
    const scale = scales[cell]!;
    if (kind === "levels") for (let i = from; i < to; i++) codes[i] = scale > 0 ? nf4Code(values[i]! / scale) : 7;
    else
      for (let i = from; i < to; i++) {
        const q = scale > 0 ? Math.round(values[i]! / scale) : 0;
        codes[i] = 128 + Math.max(-MOST_8, Math.min(MOST_8, q));
      }
  }
  return { rows, columns, bits, group, codes, scales, ...(kind === "levels" ? { levels: LEVELS.nf4 } : {}) };
}

/** Values [first, first + count) of a tensor as its adapter leaves them. */
async function valuesOf(entry: TensorEntry, first: number, count: number): Promise<Float32Array> {
  const width = DTYPE_BYTES[entry.dtype];
  const bytes = new Uint8Array(count * width);
  await entry.read(bytes, first * width);
  const values = decodeFloats(bytes, entry.dtype);
  if (entry.patch) patchRange(entry, values, first);
  return values;
}

/**
 * Writes a tensor into a weight of codes from value `start` on, some rows at a time; nothing in a dry run. Throws Error
 * where matrices of a stack have other levels.
 */
export async function loadCodes(
  gpu: Gpu,
  entry: TensorEntry,
  { parameter, start, form }: { readonly parameter: Parameter; readonly start: number; readonly form: CodesForm },
): Promise<void> {
  if (gpu.dry) return;
  const { columns } = form;
  const packing = packingOf(form);
  const rows = sizeOf(entry.shape) / columns;
  const { codes, patch } = entry;
  const whole = patch && !isStackPatch(patch) ? await patchedValues(entry) : undefined;
  const most = Math.max(32, 32 * Math.floor(PIECE / columns / 32));
  const { rows: buffer, table } = parameter.codes!;
  for (let first = 0; first < rows; first += most) {
    const count = Math.min(most, rows - first);
    const [from, to] = [first * columns, (first + count) * columns];
    const values = async () => whole?.subarray(from, to) ?? valuesOf(entry, from, to - from);
    const matrix = codes && !patch ? await codes.read(first, count) : roundedRows(await values(), form);
    const words = packRows(packing, matrix);
    gpu.write(buffer, 4 * packing.pitch * (start / columns + first), new Uint8Array(words.buffer));
    if (table) gpu.write(table, 0, new Uint8Array(tableOf(packing, matrix).buffer));
  }
}
