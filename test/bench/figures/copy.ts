/** Bandwidth of a plain copy kernel, from and to the device's own memory; bytes read and bytes written both count. */
import { spanGroups } from "../../../src/gpu/grid.ts";
import { least, type Part } from "./figure.ts";

/** Values of bf16; several times what a processor's or a GPU's cache holds. */
const VALUES = { cpu: 1 << 25, gpu: 1 << 28 };
const REPEAT = 4;

export const copy: Part = async (gpu, { quick }) => {
  const values = (gpu.adapter.type === "cpu" ? VALUES.cpu : VALUES.gpu) / (quick ? 2 : 1);
  using source = gpu.buffer(2 * values, "source");
  using result = gpu.buffer(2 * values, "result");
  gpu.clear(source.buffer, 2 * values);
  const kernel = await gpu.kernel("load/convert", { flags: ["in_bf16", "out_bf16"] });
  const n4 = values / 4;
  const bind = { source: source.buffer, result: result.buffer };
  const seconds = await least(quick ? 3 : 10, async () => {
    for (let i = 0; i < REPEAT; i++) gpu.run(kernel, { bind, params: { n4 }, groups: spanGroups(n4) });
    await gpu.readWords(result.buffer, 1);
  });
  const megabytes = Math.round((2 * values) / 1e6);
  return [{ name: `copy of ${megabytes} MB`, value: (REPEAT * 4 * values) / seconds / 1e9, unit: "GB/s" }];
};
