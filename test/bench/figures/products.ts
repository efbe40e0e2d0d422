/** Matrix products as models have them: forward (nt), of gradients (nn, tn), and of one row, by type of the weight. */
import { encodeFloats } from "../../../src/checkpoint/decode.ts";
import { type Form, planProduct } from "../../../src/tensor/linear-algebra/products.ts";
import { profileOf } from "../../../src/tensor/program.ts";
import { type Figure, least, type Part } from "./figure.ts";

type Shape = readonly [form: Form, m: number, n: number, k: number, weight: "f32" | "bf16"];

const SHAPES: readonly Shape[] = [
  ["nt", 1024, 1024, 1024, "f32"],
  ["nt", 1024, 1024, 1024, "bf16"],
  ["nn", 1024, 1024, 1024, "f32"],
  ["tn", 1024, 1024, 1024, "f32"],
  ["nt", 1, 2048, 2048, "f32"],
  ["nt", 1, 2048, 2048, "bf16"],
];

/** Sides of large products on a GPU: one of 1024 would be over before it fills the device. */
const SCALE = 4;

/** Work of one measurement, so that waiting for it does not count. */
const FLOP = { cpu: 4e9, gpu: 4e12 };

export const products: Part = async (gpu, { quick }) => {
  const kind = gpu.adapter.type === "cpu" ? "cpu" : "gpu";
  const figures: Figure[] = [];
  for (const [form, rows, columns, inner, bDtype] of SHAPES) {
    const scale = kind === "gpu" ? SCALE : 1;
    const [m, n, k] = [rows === 1 ? 1 : rows * scale, columns * scale, inner * scale];
    using a = gpu.upload(
      Float32Array.from({ length: m * k }, (_, i) => ((i * 7919) % 1009) / 1009 - 0.5),
      "a",
    );
    // Proper values in either type: bits taken at random are often denormal, and those are slow.
    const values = Float32Array.from({ length: n * k }, (_, i) => ((i * 104729) % 997) / 997 - 0.5);
    using b = gpu.upload(bDtype === "bf16" ? encodeFloats(values, "BF16") : values, "b");
    using c = gpu.buffer(4 * m * n, "c");
    const step = planProduct({ form, m, n, k, bDtype }, profileOf(gpu));
    const kernel = await gpu.kernel(step.kernel, step);
    const bind = { a: a.buffer, b: b.buffer, c: c.buffer };
    const flop = 2 * m * n * k;
    const repeat = Math.max(1, Math.min(64, Math.round(FLOP[kind] / flop / (quick ? 4 : 1))));
    const seconds = await least(quick ? 3 : 10, async () => {
      for (let i = 0; i < repeat; i++) gpu.run(kernel, { bind, params: step.params, groups: step.groups });
      await gpu.readWords(c.buffer, 1);
    });
    const name = `product ${form} ${m} x ${n} x ${k}, weight ${bDtype}`;
    figures.push({ name, value: (repeat * flop) / seconds / 1e9, unit: "GFLOP/s" });
  }
  return figures;
};
