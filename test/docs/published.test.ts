/** Published models in docs/architectures.md: what a dry run tells of them is what the page says. */
import { afterAll, expect, test } from "bun:test";
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "../../src/model/architecture.ts";
import { describeConfig } from "../../src/model/description.ts";
import { runScript } from "../support/command.ts";

const page = await Bun.file(join(import.meta.dir, "../../docs/architectures.md")).text();
const section = page.slice(page.indexOf("## Published models"));
const configs: Readonly<Record<string, Json>> = JSON.parse(/```json\n([\s\S]*?)```/.exec(section)![1]!);
const told = [...section.matchAll(/^\| ([\w. -]+) \| ([\d,]+) \| ([\d.]+) GB \| ([\d.]+) GB \|$/gm)].map(
  ([, name, parameters, ...memory]) => ({ name: name!, parameters: Number(parameters!.replaceAll(",", "")), memory }),
);

const folder = mkdtempSync(join(tmpdir(), "ingot-published-"));
afterAll(() => rmSync(folder, { recursive: true }));

const long = process.env.INGOT_TEST_LONG === "1";
const [first] = told;

/** Tensors of a model as its files store them, in order. */
async function storedTensors(json: Json): Promise<{ name: string; shape: readonly number[] }[]> {
  const { architecture, config } = await describeConfig(json, "m");
  return architecture
    .parameters(config)
    .flatMap(({ name, parts, shape }) =>
      parts ? parts.map((part) => ({ name: part, shape: shape.slice(1) })) : [{ name, shape }],
    );
}

const countOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** A model in bf16 whose weights take no room: the file is as long as it says, and nothing was written into it. */
function writeHollow(path: string, json: Json, tensors: readonly { name: string; shape: readonly number[] }[]): void {
  mkdirSync(path);
  writeFileSync(join(path, "config.json"), JSON.stringify(json));
  const header: Record<string, object> = {};
  let at = 0;
  for (const { name, shape } of tensors) {
    const end = at + 2 * countOf(shape);
    header[name] = { dtype: "BF16", shape, data_offsets: [at, end] };
    at = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(join(path, "model.safetensors"), "w");
  writeSync(file, length);
  writeSync(file, text);
  ftruncateSync(file, 8 + text.length + at);
  closeSync(file);
}

test("each config of the page has its row", () => {
  expect(told.map(({ name }) => name)).toEqual(Object.keys(configs));
  expect(told.length).toBe(11);
});

test.each(told)("$name has as many parameters as published", async ({ name, parameters }) => {
  const tensors = await storedTensors(configs[name]!);
  expect(tensors.reduce((sum, { shape }) => sum + countOf(shape), 0)).toBe(parameters);
});

test.each(long ? told : [first!])(
  "$name: the dry runs tell the memory of the page",
  async ({ name, memory, parameters }) => {
    const json = { max_position_embeddings: 4096, ...configs[name]! };
    const place = name.replaceAll(" ", "-");
    writeHollow(join(folder, place), json, await storedTensors(json));
    writeFileSync(join(folder, "row.jsonl"), JSON.stringify({ text: "a".repeat(510) }));
    const rest = "--tokenizer byte --data row.jsonl --batch-size 1 --steps 1 --dry-run --json -o out/".split(" ");
    const found: unknown[] = [];
    for (const model of [
      ["--init", `${place}/config.json`],
      [place, "--lora", "--dtype", "keep"],
    ]) {
      const { text, err } = await runScript("train", [...model, ...rest], folder);
      expect(text, err).not.toBe("");
      const plan = JSON.parse(text);
      expect(plan.parameters.total).toBe(parameters);
      found.push((plan.memory.total / 1e9).toFixed(1));
    }
    expect(found).toEqual(memory);
  },
  60_000,
);
