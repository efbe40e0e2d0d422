/** Weights of a new model, drawn by (seed, tensor name), so that they do not depend on the order of execution. */
import os from "node:os";
import { encodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../checkpoint/dtype.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { keyedNormals, keyedUnits } from "../keyed-random.ts";
import type { PageStore } from "../tensor/paging/pages.ts";
import { Parameter } from "../tensor/parameter.ts";
import { showShape, sizeOf } from "../tensor/tensor.ts";
import { humanBytes } from "../text/format.ts";
import type { ParameterSpec } from "./architecture.ts";
import { expectBuffers } from "./expect-buffers.ts";
import { expertsOf, type Holding, heldDtype, type Loaded, type StoredTensor } from "./load.ts";
import { layerOf } from "./names.ts";

/** Values of a new weight. */
export function drawn({ init }: ParameterSpec, name: string, count: number, seed: number): Float32Array {
  if (init === "zeros") return new Float32Array(count);
  if (init === "ones") return new Float32Array(count).fill(1);
  if ("logUpTo" in init) {
    const unit = keyedUnits(seed, name);
    return Float32Array.from({ length: count }, () => Math.log(init.logUpTo * (1 - unit())));
  }
  return keyedNormals(count, init.std, seed, name);
}

/** Bytes of weights that no machine holds. */
const MOST_BYTES = 2 ** 43;

/** Throws UserError when the weights alone are more than the memory, before any of it is taken. */
export function expectRoom(gpu: Gpu, specs: readonly ParameterSpec[], ref: string): void {
  const counts = specs.map(({ shape }) => sizeOf(shape));
  const total = counts.reduce((sum, count) => sum + count, 0);
  // A GPU's memory is its own, and it says itself when that is full.
  const most = gpu.adapter.type === "cpu" ? os.totalmem() : MOST_BYTES;
  if (4 * total <= most) return;
  const largest = specs[counts.indexOf(counts.reduce((a, b) => Math.max(a, b), 0))]!;
  throw new UserError(
    `${ref} asks for ${total.toLocaleString("en-US")} parameters, ${humanBytes(4 * total)} as f32; there are ${humanBytes(most)} of memory`,
    `the largest is ${largest.name}, ${showShape(largest.shape)}; make the model smaller`,
  );
}

/** Makes every parameter. They are saved as f32. */
export function drawParameters(
  gpu: Gpu,
  specs: readonly ParameterSpec[],
  seed: number,
  holding: Holding,
  store?: PageStore,
): Loaded {
  const parameters = new Map<string, Parameter>();
  const stored: StoredTensor[] = [];
  const held = specs.map((spec) => {
    const { trainable, dtype: asked } = holding(spec.name);
    const dtype = heldDtype(spec, asked, { dtype: "F32" });
    return {
      spec,
      name: spec.name,
      shape: spec.shape,
      dtype,
      trainable: trainable && !spec.buffer,
      parts: expertsOf(spec),
    };
  });
  expectBuffers(gpu, held, store !== undefined);
  for (const { spec, dtype, trainable, parts } of held) {
    const layer = layerOf(spec.name);
    const paged = store && parts > 1 ? { store, kind: layer ? `${layer.prefix}.${layer.rest}` : spec.name } : undefined;
    const parameter = new Parameter(gpu, spec.name, spec.shape, dtype, trainable, paged);
    parameter.parts = parts;
    parameters.set(spec.name, parameter);
    const shape = spec.parts ? spec.shape.slice(1) : spec.shape;
    const count = sizeOf(shape);
    for (const [part, name] of (spec.parts ?? [spec.name]).entries()) {
      const dtype = parameter.dtype === "bf16" ? "BF16" : "F32";
      const start = part * count;
      stored.push({ name, shape, dtype, parameter, start });
      if (gpu.dry) continue;
      parameter.writeBytes(start * DTYPE_BYTES[dtype], encodeFloats(drawn(spec, name, count, seed), dtype));
    }
  }
  return { parameters, stored, others: [] };
}
