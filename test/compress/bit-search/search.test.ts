/** `compress search`, and `compress --plan`. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LossRise } from "../../../src/compress/bit-search/loss-rise.ts";
import { collate } from "../../../src/data/batch.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-bits-"));
afterAll(() => rmSync(folder, { recursive: true }));

const JSON_OF = { ...TINY_TEXT.llama!, vocab_size: 264, max_position_embeddings: 32 };
{
  const model = await Model.fresh(gpu, JSON_OF, "m", { seed: 1, freeze: () => true });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(JSON_OF))]]);
  await saveModel(model, join(folder, "model"), { files, lineage: [] });
  model.free();
}

const run = (...argv: string[]) => runScript("compress", argv, folder);
const plan = (file: string): Record<string, number> => JSON.parse(readFileSync(join(folder, file), "utf8")).bits;

test("bits stay within the budget, and cost no more than as many for all", async () => {
  const { code, text } = await run(
    ...["search", "model", "--budget", "3.5bits", "--bits", "2,3,4", "--group", "-1", "--json", "-o", "plan.json"],
  );
  expect(code).toBe(0);
  const found = JSON.parse(text);
  expect(found.bits).toEqual(plan("plan.json"));
  expect(Object.keys(found.bits).length).toBe(14);
  expect(found.mean).toBeLessThanOrEqual(3.5);
  expect(found.mean).toBeGreaterThan(3.2);
  expect(found.uniform.bits).toBe(3);
  expect(found.cost).toBeLessThan(found.uniform.cost);
  const bits = Object.keys(found.bits).map((name) => found.bits[name]);
  expect(bits.every((one: number) => [2, 3, 4].includes(one))).toBeTrue();

  // What a plan says is what each matrix has.
  const made = await run("model", "--quant", "rtn", "--group", "-1", "--plan", "plan.json", "--json", "-o", "mixed");
  expect(made.code).toBe(0);
  const layers: { name: string; bits: number }[] = JSON.parse(made.text).layers;
  expect(Object.fromEntries(layers.map(({ name, bits }) => [name, bits]))).toEqual(found.bits);
  // Codes of 3 bits go into whole words, in which a bit or two is left over.
  const { bytes } = JSON.parse(made.text);
  expect(Math.abs(bytes.after / found.bytes - 1)).toBeLessThan(0.04);
});

test("a plan is that of the model, and its bits are some", async () => {
  const refused = async (text: string) => {
    writeFileSync(join(folder, "odd.json"), text);
    const { code, err } = await run("model", "--quant", "rtn", "--plan", "odd.json", "-n");
    expect(code).toBe(2);
    return err;
  };
  expect(await refused('{"bits": {"model.layers.7.x": 4}}')).toContain("which is no matrix that is changed here");
  expect(await refused('{"bits": {"a": 9}}')).toContain("bits of a are 9");
  expect(await refused("[]")).toContain("has no bits");
});

test("bits by pattern come after those for all", async () => {
  const { code, text } = await run("model", "--quant", "rtn", "--bits", "8,*.down_proj.*=2", "--json", "-o", "by-name");
  expect(code).toBe(0);
  const layers: { name: string; bits: number }[] = JSON.parse(text).layers;
  for (const { name, bits } of layers) expect([name, bits]).toEqual([name, name.includes("down_proj") ? 2 : 8]);
});

test("refuses what it cannot search", async () => {
  const refused = async (...argv: string[]) => {
    const { code, err } = await run("search", "model", ...argv);
    expect(code).toBe(2);
    return err;
  };
  expect(await refused("--budget", "1.5bits")).toContain("the fewest bits take 2 bits a weight");
  expect(await refused("--budget", "3bits", "--bits", "2,16")).toContain("--bits 16 is no number of bits");
  expect(await refused("--budget", "3bits", "--by", "loss")).toContain("--by loss reads rows");
  expect(await refused("--budget", "3bits", "--quant", "gptq")).toContain("--quant gptq reads rows");
});

test("the loss rises by what it is with one matrix changed, which then is put back", async () => {
  const model = await Model.fresh(gpu, JSON_OF, "m", { seed: 1, freeze: () => true });
  const ids = Int32Array.of(1, 5, 7, 2, 9, 49, 0, 3);
  const batch = collate([[{ ids, labels: ids, group: 0, place: "0" }]], { buckets: "none" });
  const rise = await LossRise.of(model, [batch], new AbortController().signal);
  const name = "model.layers.1.mlp.down_proj.weight";
  const { parameter } = model.stored.find((stored) => stored.name === name)!;
  const values = await gpu.readFloats(parameter.buffer, parameter.size);
  const silent = await rise.with(name, new Float32Array(values.length));
  expect(Math.abs(silent)).toBeGreaterThan(1e-3);
  expect(await rise.with(name, values)).toBe(0);
  expect(await gpu.readFloats(parameter.buffer, parameter.size)).toEqual(values);
  await rise.free();
  model.free();
});
