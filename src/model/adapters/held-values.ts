/** The values of a weight that a model holds. */
import { decodeFloats } from "../../checkpoint/decode.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Parameter } from "../../tensor/parameter.ts";

/** All values, as f32. */
export const heldValues = (gpu: Gpu, { buffer, bytes, dtype }: Parameter): Promise<Float32Array> =>
  gpu.read(buffer, 0, Math.ceil(bytes / 4) * 4, (view) =>
    decodeFloats(view.slice(0, bytes), dtype === "bf16" ? "BF16" : "F32"),
  );
