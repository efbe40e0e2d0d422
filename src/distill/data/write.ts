/** Synthetic rows as rows that `train` reads, and as tensors with their history. */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { writeArrays } from "../../checkpoint/write/write-arrays.ts";
import type { Network } from "../../run/twice/network.ts";
import type { Synthetic } from "./contract.ts";

const digits = (x: number): number => Number(x.toPrecision(7));

/** Channels first (C, H, W) as rows of pixels, of channels where there are several. */
function imageOf(x: Float64Array, channels: number, side: number): unknown[] {
  const at = (c: number, row: number, column: number) => digits(x[(c * side + row) * side + column]!);
  const along = <T>(of: (i: number) => T) => Array.from({ length: side }, (_, i) => of(i));
  return along((row) =>
    along((column) =>
      channels === 1 ? at(0, row, column) : Array.from({ length: channels }, (_, c) => at(c, row, column)),
    ),
  );
}

/** JSON lines: images where the real rows were images, else vectors. */
export function rowLines({ x, labels }: Synthetic, { inputs, image }: Network, asImages: boolean): string {
  const lines = labels.map((label, i) => {
    const own = x.subarray(i * inputs, (i + 1) * inputs);
    const numbers =
      asImages && image ? { image: imageOf(own, image.channels, image.side) } : { x: [...own].map(digits) };
    return JSON.stringify({ ...numbers, label });
  });
  return lines.join("\n");
}

/** One file of tensors: x (m, inputs) f32, y (m) i32, and lr (1) f32 where there is a rate. */
export async function writeTensors(
  out: string,
  { x, labels, rate }: Synthetic,
  { inputs }: Network,
  lineage: readonly LineageEntry[],
): Promise<void> {
  await writeArrays(
    out,
    [
      { name: "x", shape: [labels.length, inputs], values: Float32Array.from(x) },
      { name: "y", shape: [labels.length], values: Int32Array.from(labels) },
      ...(rate === undefined ? [] : [{ name: "lr", shape: [1], values: Float32Array.of(rate) }]),
    ],
    lineage,
  );
}
