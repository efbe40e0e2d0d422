/** Gates in files: the two layers, and what is fixed beside them. */
import { mergeOnCpu } from "../../checkpoint/adapter/adapter.ts";
import type { Checkpoint, LineageEntry } from "../../checkpoint/checkpoint.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { GATE_PARTS, type Gate, type GatePart, type GateSettings } from "./gate.ts";

const SETTINGS = "settings";

/** A gate as a file holds it. */
export interface StoredGate {
  readonly ref: string;
  readonly settings: GateSettings;
  readonly values: ReadonlyMap<GatePart, Float32Array>;
  /** Numbers of both models that it reads. */
  readonly features: number;
}

const packed = ({ least, span, scale, bias, sharpness }: GateSettings): Float32Array =>
  Float32Array.of(least, span, scale, bias, sharpness.accurate, sharpness.robust);

function unpacked(values: Float32Array, ref: string): GateSettings {
  const [least = 0, span = 0, scale = 1, bias = 0, accurate = 1, robust = 1] = values;
  const fits = values.length === 6 && values.every(Number.isFinite) && least > 0 && span >= 0 && least + span < 1;
  if (!fits || !(accurate > 0) || !(robust > 0))
    throw new UserError(`${ref}: its settings are none of a gate: ${values.join(", ")}`, "make it anew: merge gate");
  return { least, span, scale, bias, sharpness: { accurate, robust } };
}

/** Writes a gate; gives the bytes. */
export async function writeGate(
  gpu: Gpu,
  { settings, parameters }: Gate,
  out: string,
  lineage: readonly LineageEntry[],
): Promise<number> {
  const own = [...parameters].map(([name, { shape }]) => ({ name: `gate.${name}`, shape }));
  const tensors = [...own, { name: `gate.${SETTINGS}`, shape: [6] }].map((tensor) => {
    return { ...tensor, dtype: "F32" as const, bytes: 4 * sizeOf(tensor.shape) };
  });
  const writer = await createWriter(out, { tensors, files: new Map(), lineage });
  const write = (name: string, { buffer, byteOffset, byteLength }: Float32Array) =>
    writer.write(`gate.${name}`, new Uint8Array(buffer, byteOffset, byteLength));
  try {
    for (const [name, { buffer, size }] of parameters) await write(name, await gpu.readFloats(buffer, size));
    await write(SETTINGS, packed(settings));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return writer.bytes;
}

/** Reads a gate. Throws UserError where the file is none. */
export async function readGate({ ref, tensors }: Checkpoint): Promise<StoredGate> {
  const read = async (name: string) => {
    const entry = tensors.get(`gate.${name}`);
    if (entry?.dtype !== "F32")
      throw new UserError(`${ref} is no gate: it has no gate.${name}`, "name a file that merge gate wrote");
    return mergeOnCpu(entry);
  };
  const settings = unpacked(await read(SETTINGS), ref);
  const values = new Map<GatePart, Float32Array>();
  for (const name of GATE_PARTS) values.set(name, await read(name));
  const [hidden = 0, features = 0] = tensors.get("gate.hidden.weight")!.shape;
  const sizes = { "hidden.bias": hidden, "output.weight": hidden, "output.bias": 1, mean: 1, variance: 1 };
  for (const [name, size] of Object.entries(sizes))
    if (values.get(name as GatePart)!.length !== size)
      throw new UserError(`${ref}: gate.${name} has ${values.get(name as GatePart)!.length} values, not ${size}`);
  return { ref, settings, values, features };
}
