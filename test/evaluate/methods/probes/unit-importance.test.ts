/** The masks that the probe writes fit the model, and `--softmask` takes them. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../../../src/checkpoint/decode.ts";
import { openPlain } from "../../../../src/checkpoint/open.ts";
import { runScript } from "../../../support/command.ts";
import { TINY_EXPERTS, TINY_TEXT } from "../../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-units-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = async (line: string) => {
  const [script, ...argv] = line.split(/\s+/);
  const { code, err } = await runScript(script!, argv, folder);
  if (code !== 0) throw new Error(`${line}: ${err}`);
};
const rows = Array.from({ length: 6 }, (_, i) => ({
  input_ids: Array.from({ length: 8 }, (_, k) => (7 * i + 3 * k) % 40),
}));
writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

const MODELS = { llama: TINY_TEXT.llama!, gpt2: TINY_TEXT.gpt2!, mixtral: TINY_EXPERTS.mixtral! };

test.each(Object.keys(MODELS) as (keyof typeof MODELS)[])("of a %s", async (name) => {
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(MODELS[name]));
  await run(`train --init ${name}.json --data rows.jsonl --steps 1 --lr 0.05 -q -o ${name}.safetensors`);
  const kinds = "--unit-importance-kinds inner,output,heads";
  const probe = `evaluate ${name}.safetensors --data rows.jsonl --probe unit-importance ${kinds}`;
  await run(`${probe} --unit-importance-save ${name}-mask.safetensors -q`);
  const [model, file] = [
    await openPlain(join(folder, `${name}.safetensors`)),
    await openPlain(join(folder, `${name}-mask.safetensors`)),
  ];
  const values = async (entry: (typeof model.tensors extends ReadonlyMap<string, infer E> ? E : never) | undefined) => {
    const bytes = new Uint8Array(entry!.bytes);
    await entry!.read(bytes, 0);
    return decodeFloats(bytes, entry!.dtype);
  };
  expect(file.tensors.size).toBeGreaterThan(5);
  let most = 0;
  for (const entry of file.tensors.values()) {
    const mask = await values(entry);
    expect(mask.every((m) => m >= 0 && m <= 1)).toBe(true);
    most = Math.max(most, ...mask);
  }
  expect(most).toBeGreaterThan(0.5);
  const train = `train ${name}.safetensors --data rows.jsonl --steps 1 --lr 0.01 --optimizer sgd --momentum 0 --save-every 0 -q`;
  await run(`${train} -o ${name}-free.safetensors`);
  await run(`${train} --softmask ${name}-mask.safetensors -o ${name}-held.safetensors`);
  const [free, held] = [
    await openPlain(join(folder, `${name}-free.safetensors`)),
    await openPlain(join(folder, `${name}-held.safetensors`)),
  ];
  for (const [tensor, entry] of file.tensors) {
    const [mask, w, f, h] = [
      await values(entry),
      ...(await Promise.all([model, free, held].map((of) => values(of.tensors.get(tensor))))),
    ];
    const columns = entry.shape.length < 2 ? 1 : model.tensors.get(tensor)!.shape.at(-1)!;
    const isColumn = entry.shape.length > 1 && entry.shape.at(-1) !== 1;
    for (const [i, x] of h!.entries()) {
      const m = mask![isColumn ? i % columns : Math.floor(i / columns)]!;
      expect(Math.abs(x - (w![i]! + (1 - m) * (f![i]! - w![i]!)))).toBeLessThan(1e-6);
    }
  }
  for (const checkpoint of [model, file, free, held]) checkpoint.close();
});
