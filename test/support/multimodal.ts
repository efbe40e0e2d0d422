/** Wraps a plain model into a model of several parts, as transformers and the Hub store these. */
import { join } from "node:path";
import type { Checkpoint, TensorInfo } from "../../src/checkpoint/checkpoint.ts";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { open } from "../../src/checkpoint/open.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import type { Json } from "../../src/model/architecture.ts";
import { normals } from "./random.ts";

/** Names of a text part's tensors, by layout. */
export const LAYOUTS = {
  "language_model.model": (name) => `language_model.${name}`,
  "model.language_model": (name) => name.replace(/^model\./, "model.language_model."),
  "model.text_model": (name) => name.replace(/^model\./, "model.text_model."),
  plain: (name) => name,
} satisfies Readonly<Record<string, (name: string) => string>>;

export type LayoutName = keyof typeof LAYOUTS;

/** What stands beside the text part: a tower with modules of the text part's names, a projector, a table of ids. */
const BESIDE: readonly (readonly [name: string, dtype: "F32" | "BF16" | "I64", shape: readonly number[]])[] = [
  ["vision_tower.encoder.layers.0.self_attn.q_proj.weight", "F32", [6, 5]],
  ["vision_tower.encoder.layers.0.mlp.down_proj.weight", "BF16", [3, 7]],
  ["vision_tower.position_ids", "I64", [1, 4]],
  ["multi_modal_projector.weight", "BF16", [4, 6]],
];

function bytesOf(seed: number, dtype: "F32" | "BF16" | "I64", size: number): Uint8Array {
  if (dtype === "I64") return new Uint8Array(BigInt64Array.from({ length: size }, (_, i) => BigInt(i)).buffer);
  return encodeFloats(normals(seed, size), dtype);
}

/** The bytes of every tensor beside the text part, by its name in a layout. */
export const besideText = (layout: LayoutName): Map<string, Uint8Array> =>
  new Map(
    BESIDE.map(([name, dtype, shape], i) => [
      layout === "model.language_model" || layout === "model.text_model" ? `model.${name}` : name,
      bytesOf(
        100 + i,
        dtype,
        shape.reduce((a, b) => a * b),
      ),
    ]),
  );

export async function tensorBytes({ tensors }: Checkpoint, name: string): Promise<Uint8Array> {
  const entry = tensors.get(name)!;
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  return bytes;
}

/** Writes `plain`'s tensors in a layout, two others first. `target` is a folder with a slash behind, or a file. */
export async function wrapModel(
  plain: string,
  target: string,
  layout: LayoutName,
  configOf: (text: Json) => Json,
): Promise<void> {
  const checkpoint = await open(plain);
  const text = await Bun.file(join(plain, "config.json")).json();
  const beside = [...besideText(layout)].map(([name, bytes], i): [TensorInfo, () => Promise<Uint8Array>] => {
    const [, dtype, shape] = BESIDE[i]!;
    return [{ name, dtype, shape, bytes: bytes.length }, async () => bytes];
  });
  const own = [...checkpoint.tensors.values()].map(({ name, dtype, shape, bytes }): (typeof beside)[number] => [
    { name: LAYOUTS[layout](name), dtype, shape, bytes },
    () => tensorBytes(checkpoint, name),
  ]);
  const all = [...beside.slice(0, 2), ...own, ...beside.slice(2)];
  const config = new TextEncoder().encode(`${JSON.stringify(configOf(text), null, 1)}\n`);
  const files = new Map([...checkpoint.files, ["config.json", config] as const]);
  const writer = await createWriter(target, { tensors: all.map(([info]) => info), files, lineage: [] });
  for (const [info, read] of all) await writer.write(info.name, await read());
  await writer.finish();
  checkpoint.close();
}
