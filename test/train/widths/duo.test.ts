/** `train --ffn duo`: a llama gets small networks beside its big ones, and a probe tells what these are worth. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { runScript } from "../../support/command.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-duo-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
const write = (name: string, value: unknown) => writeFileSync(join(folder, name), JSON.stringify(value));
const FEW = "--data rows.jsonl --batch-size 2 --lr 0.01 --save-every 0 -q";

async function succeeds(script: string, line: string): Promise<string> {
  const { code, err, text } = await run(script, line);
  expect([line, code === 0 ? "" : err]).toEqual([line, ""]);
  return text;
}

/** Values of all tensors, by name. */
async function valuesOf(name: string): Promise<Map<string, Float32Array>> {
  const checkpoint = await openPlain(join(folder, name));
  const values = new Map<string, Float32Array>();
  for (const entry of checkpoint.tensors.values()) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    values.set(entry.name, decodeFloats(bytes, entry.dtype));
  }
  checkpoint.close();
  return values;
}

test("a llama learns small networks, and stays as it is where they alone are trained", async () => {
  const rows = [1, 2, 3, 4].map((i) => JSON.stringify({ input_ids: [i, 2 * i, 7, 3 * i, 9, 40 + i] }));
  writeFileSync(join(folder, "rows.jsonl"), `${rows.join("\n")}\n`);
  write("llama.json", { ...TINY_TEXT.llama, mlp_bias: true, architectures: ["LlamaForCausalLM"] });
  write("qwen2.json", TINY_TEXT.qwen2);
  await succeeds("train", `--init llama.json ${FEW} --steps 1 -o base/`);
  const small = "--ffn duo --ffn-small 4 --ffn-skip 0.2 --train-only *.small_mlp.*";
  await succeeds("train", `base ${FEW} ${small} --steps 1 -o one/`);
  await succeeds("train", `base ${FEW} ${small} --steps 8 -o eight/`);
  const config = JSON.parse(readFileSync(join(folder, "eight/config.json"), "utf8"));
  expect([config.model_type, config.small_intermediate_size, config.skip_probability]).toEqual(["duo_decoder", 4, 0.2]);
  expect(config.architectures).toBeUndefined();
  const [base, one, eight] = [await valuesOf("base"), await valuesOf("one"), await valuesOf("eight")];
  for (const [name, values] of base) expect([name, eight.get(name)]).toEqual([name, values]);
  const added = [...eight.keys()].filter((name) => !base.has(name));
  expect(added.length).toBe(2 * 6);
  for (const name of added)
    expect([name, eight.get(name)!.every((x, i) => x === one.get(name)![i])]).toEqual([name, false]);
  const [found] = JSON.parse(
    await succeeds("evaluate", "eight --data rows.jsonl --probe compute-oracle --json -q"),
  ).rows;
  expect(found.budgets.length).toBe(3);
  const alone = await succeeds("evaluate", "base --data rows.jsonl --metric loss --bootstrap 0 --json -q");
  expect(found.budgets[2].random).toBeCloseTo(JSON.parse(alone).rows[0].value, 5);
  expect(found.one_beats_all).toBe(found.budgets[1].fixed < found.budgets[2].fixed);
  const refused = async (line: string) => (await run("train", `${line} ${FEW} --steps 1 -o none/`)).err;
  expect(await refused("eight --ffn duo")).toContain("--ffn duo adds small networks to a llama");
  expect(await refused("--init qwen2.json --ffn duo")).toContain("and qwen2.json is a qwen2\n  hint: give a llama");
  expect(await refused("base --ffn duo --lora")).toContain("and an adapter does not");
  expect(await refused("base --ffn-small 3")).toContain("--ffn-small has no effect without --ffn duo");
  const wrong = await run("evaluate", "base --data rows.jsonl --probe compute-oracle");
  expect(wrong.err).toContain("base is a llama, which has no small feed-forward networks");
});
