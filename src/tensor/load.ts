/**
 * Loading a range of a tensor onto the GPU in a type that kernels read, whatever type it has in its file, with the
 * low-rank change of an adapter applied.
 */

import { isRowPatch, type TensorEntry } from "../checkpoint/checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../checkpoint/dtype.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Bound, Gpu } from "../gpu/gpu.ts";
import { foldGroups, spanGroups } from "../gpu/grid.ts";
import { sizeOf } from "./tensor.ts";

/** Types that kernels read and write. */
export type OperandDtype = "F32" | "F16" | "BF16";

/** Below this, a plain host buffer is quicker than mapped staging memory. */
const SMALL = 128 << 10;

export const inFlag = (dtype: OperandDtype): string[] => (dtype === "F32" ? [] : [`in_${dtype.toLowerCase()}`]);
export const outFlag = (dtype: OperandDtype): string[] => (dtype === "F32" ? [] : [`out_${dtype.toLowerCase()}`]);

export const isOperand = (dtype: Dtype): dtype is OperandDtype =>
  dtype === "F32" || dtype === "F16" || dtype === "BF16";

/** Bytes of `length` values padded to whole vectors of four and to the alignment of bindings. */
export const paddedBytes = (length: number, dtype: OperandDtype): number =>
  Math.ceil((Math.ceil(length / 4) * 4 * DTYPE_BYTES[dtype]) / 256) * 256;

/** Reads file bytes into `target` at `offset`; the padding up to 16 bytes is zero. */
async function loadBytes(gpu: Gpu, entry: TensorEntry, from: number, bytes: number, target: GPUBuffer, offset: number) {
  const padded = Math.ceil(bytes / 16) * 16;
  if (bytes <= SMALL) {
    const host = new Uint8Array(padded);
    await entry.read(host.subarray(0, bytes), from);
    gpu.write(target, offset, host);
    return;
  }
  const upload = await gpu.uploads.take(bytes).catch((error) => {
    gpu.check(); // the device's own report says more than the failed map
    throw error;
  });
  try {
    await entry.read(upload.view.subarray(0, bytes), from);
    upload.unmap();
    gpu.copy(upload.buffer, 0, target, offset, padded);
    gpu.submit();
  } finally {
    upload.free();
  }
}

/**
 * A range of a tensor that stays on the device; false where its bytes do not lie as copies want them, which then come
 * from the file.
 */
async function loadResident(
  gpu: Gpu,
  entry: TensorEntry,
  { start, length }: { readonly start: number; readonly length: number },
  dtype: OperandDtype,
  target: { readonly buffer: GPUBuffer; readonly offset: number; readonly size: number },
): Promise<boolean> {
  const kept = gpu.residents.get(entry);
  if (!kept) return false;
  const width = DTYPE_BYTES[kept.dtype];
  const from = start * width;
  if (from % 4 !== 0 || (length % 4 !== 0 && start + length !== sizeOf(entry.shape))) return false;
  const bytes = Math.ceil(length / 4) * 4 * width;
  if (kept.dtype === dtype) {
    gpu.copy(kept.buffer, from, target.buffer, target.offset, bytes);
    return true;
  }
  using part = gpu.buffer(paddedBytes(length, kept.dtype), `${entry.name} (part)`);
  gpu.copy(kept.buffer, from, part.buffer, 0, bytes);
  await convert(gpu, [...inFlag(kept.dtype), ...outFlag(dtype)], length, part.buffer, target);
  return true;
}

async function convert(gpu: Gpu, flags: string[], length: number, source: Bound, result: Bound): Promise<void> {
  const kernel = await gpu.kernel("load/convert", { flags });
  const n4 = Math.ceil(length / 4);
  gpu.run(kernel, { bind: { source, result }, params: { n4 }, groups: spanGroups(n4) });
}

/** Converts values on the device, rounding to nearest even; both sides padded to whole vectors of four. */
export const convertValues = (
  gpu: Gpu,
  { from, to }: { readonly from: OperandDtype; readonly to: OperandDtype },
  length: number,
  source: Bound,
  result: Bound,
): Promise<void> => convert(gpu, [...inFlag(from), ...outFlag(to)], length, source, result);

/** F64 has no arithmetic on GPUs: rounded to f32 on the host. */
async function loadDouble(
  gpu: Gpu,
  entry: TensorEntry,
  start: number,
  length: number,
  target: GPUBuffer,
  offset: number,
) {
  const host = new Float64Array(length);
  await entry.read(new Uint8Array(host.buffer), 8 * start);
  const floats = new Float32Array(Math.ceil(length / 4) * 4);
  floats.set(host);
  gpu.write(target, offset, new Uint8Array(floats.buffer));
}

/** The bytes as they are in the file, or as f32 for types that are decoded here; returns the type they then have. */
async function loadStored(
  gpu: Gpu,
  entry: TensorEntry,
  start: number,
  length: number,
  into: GPUBuffer,
  offset: number,
) {
  const width = DTYPE_BYTES[entry.dtype];
  if (isOperand(entry.dtype)) {
    await loadBytes(gpu, entry, start * width, length * width, into, offset);
    return entry.dtype;
  }
  if (entry.dtype === "F64") await loadDouble(gpu, entry, start, length, into, offset);
  else if (entry.dtype === "F8_E4M3" || entry.dtype === "F8_E5M2") {
    using raw = gpu.buffer(Math.ceil(length / 16) * 16, `${entry.name} (F8)`);
    await loadBytes(gpu, entry, start, length, raw.buffer, 0);
    const flag = entry.dtype === "F8_E4M3" ? "from_e4m3" : "from_e5m2";
    await convert(gpu, [flag], length, raw.buffer, { buffer: into, offset, size: paddedBytes(length, "F32") });
  } else throw new TypeError(`${entry.name}: ${entry.dtype} holds no real numbers to compute with`);
  return "F32" as const;
}

const transpose = (values: Float32Array, rows: number, columns: number): Float32Array => {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c]!;
  return out;
};

/** A change that the host makes: of a stack, where a range holds parts of several matrices, or of rows. */
async function changeOnHost(gpu: Gpu, length: number, into: GPUBuffer, change: (values: Float32Array) => void) {
  const values = new Float32Array(Math.ceil(length / 4) * 4);
  values.set(await gpu.readFloats(into, length));
  change(values.subarray(0, length));
  gpu.write(into, 0, new Uint8Array(values.buffer));
}

/** A range of a patched weight, as f32. Convolutions count as matrices (out, in * height * width). */
async function loadPatched(
  gpu: Gpu,
  entry: TensorEntry,
  start: number,
  length: number,
  into: GPUBuffer,
): Promise<void> {
  const patch = entry.patch!;
  const isRows = isRowPatch(patch);
  const rows = entry.shape[0] ?? 1;
  const columns = entry.shape.slice(1).reduce((product, side) => product * side, 1);
  const wholeRows = start % columns === 0 && length % columns === 0;
  const inRows = !patch.transposed && wholeRows && !(isRows && patch.together);
  if ((isRows || patch.magnitude) && !inRows) {
    // Lengths of columns, of rows that lie in several chunks, and rows that hang on others need the whole matrix; all
    // are rare, so the host does it.
    const { mergeOnCpu } = await import("../checkpoint/adapter/adapter.ts");
    const known = gpu.hostValues.get(entry) ?? mergeOnCpu(entry);
    gpu.hostValues.set(entry, known);
    const part = new Float32Array(Math.ceil(length / 4) * 4);
    part.set((await known).subarray(start, start + length));
    gpu.write(into, 0, new Uint8Array(part.buffer));
    return;
  }
  const { name, dtype, shape, bytes } = entry;
  const plain: TensorEntry = { name, dtype, shape, bytes, read: (target, offset) => entry.read(target, offset) };
  await loadRange(gpu, plain, start, length, "F32", into, 0);
  if (isRows) return changeOnHost(gpu, length, into, (values) => patch.change(values, start / columns));
  if (patch.experts !== undefined) {
    const { patchRange } = await import("../checkpoint/adapter/patch.ts");
    return changeOnHost(gpu, length, into, (values) => patchRange(entry, values, start));
  }
  const { a, b, rank, scale, magnitude, transposed } = patch;
  using left = gpu.upload(transposed ? transpose(a, rank, rows) : b, `${entry.name} left factor`);
  using right = gpu.upload(transposed ? transpose(b, columns, rank) : a, `${entry.name} right factor`);
  const row = Math.floor(start / columns);
  gpu.run(await gpu.kernel("load/low-rank"), {
    bind: { left: left.buffer, right: right.buffer, weight: into },
    params: { n: length, columns, rank, row, column: start % columns, scale },
    groups: spanGroups(length),
  });
  if (!magnitude) return;
  using lengths = gpu.upload(magnitude, `${entry.name} magnitude`);
  gpu.run(await gpu.kernel("load/scale-rows"), {
    bind: { magnitude: lengths.buffer, weight: into },
    params: { rows: length / columns, columns, row },
    groups: foldGroups(length / columns),
  });
}

/**
 * Loads values [start, start + length) of a float tensor into `into` at byte `offset` (a multiple of 256) as `dtype`,
 * padded with zeros to whole vectors of four. Narrowing rounds to nearest even. Extra memory: at most two f32 copies
 * of the range.
 */
export async function loadRange(
  gpu: Gpu,
  entry: TensorEntry,
  start: number,
  length: number,
  dtype: OperandDtype,
  into: GPUBuffer,
  offset: number,
): Promise<void> {
  if (length === 0) return;
  const target = { buffer: into, offset, size: paddedBytes(length, dtype) };
  if (await loadResident(gpu, entry, { start, length }, dtype, target)) return;
  if (!entry.patch && entry.dtype === dtype) {
    await loadStored(gpu, entry, start, length, into, offset);
    return;
  }
  using wide = gpu.buffer(paddedBytes(length, "F32"), `${entry.name} (wide)`);
  if (!entry.patch) {
    const stored = await loadStored(gpu, entry, start, length, wide.buffer, 0);
    await convert(gpu, [...inFlag(stored), ...outFlag(dtype)], length, wide.buffer, target);
    return;
  }
  await loadPatched(gpu, entry, start, length, wide.buffer);
  // An adapter's result has the precision of the weight that it changes, as if the merged model had been saved.
  const rounded = isOperand(entry.dtype) ? entry.dtype : "F32";
  using narrow: PooledBuffer = gpu.buffer(paddedBytes(length, "F32"), `${entry.name} (rounded)`);
  await convert(gpu, outFlag(rounded), length, wide.buffer, narrow.buffer);
  await convert(gpu, [...inFlag(rounded), ...outFlag(dtype)], length, narrow.buffer, target);
}

/** True when a tensor's bytes are those that kernels read, and come from its file. */
const isPlain = (gpu: Gpu, entry: TensorEntry, dtype: OperandDtype): boolean =>
  entry.dtype === dtype && !entry.patch && !gpu.residents.has(entry);

/**
 * Loads the same range of several tensors into one pooled buffer, as `loadRange` does, each `paddedBytes` after the
 * one before. Where the device's memory is the host's, files are read to where kernels read them.
 */
export async function loadStack(
  gpu: Gpu,
  entries: readonly TensorEntry[],
  { start, length }: { readonly start: number; readonly length: number },
  dtype: OperandDtype,
  label: string,
): Promise<PooledBuffer> {
  const width = DTYPE_BYTES[dtype];
  const pitch = paddedBytes(length, dtype);
  const bytes = length * width;
  const shared = bytes > SMALL ? gpu.shared : undefined;
  const plain = (entry: TensorEntry) => shared !== undefined && isPlain(gpu, entry, dtype);
  const fill = (view: Uint8Array) =>
    settleAll(
      entries.map(async (entry, slot) => {
        if (!plain(entry)) return;
        const part = view.subarray(slot * pitch, (slot + 1) * pitch);
        part.fill(0, bytes);
        await entry.read(part.subarray(0, bytes), start * width);
      }),
    );
  const inPlace = shared && entries.some(plain);
  const stack = inPlace
    ? await shared.fill(entries.length * pitch, label, fill).catch((error) => {
        gpu.check(); // the device's own report says more than the failed map
        throw error;
      })
    : gpu.buffer(entries.length * pitch, label);
  const rest = entries.map(async (entry, slot) => {
    if (!plain(entry)) await loadRange(gpu, entry, start, length, dtype, stack.buffer, slot * pitch);
  });
  await settleAll(rest);
  return stack;
}

/** Waits for all, also when one fails: none may still write to memory that is given back. Throws the first error. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((end) => end.status === "rejected");
  if (failed) throw failed.reason;
}
