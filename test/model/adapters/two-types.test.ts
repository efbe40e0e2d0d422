/** Two adapters of different types on one base: the second sees what the first made, as if that were a model. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { bind, bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-two-types-"));
afterAll(() => rmSync(made, { recursive: true }));
const IDS = Int32Array.of(1, 5, 7, 2, 9, 36, 4, 8);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "" }]], { buckets: "none" });
const JSONS = { llama: TINY_TEXT["llama with llama3 scaling and biases"]!, gpt2: TINY_TEXT.gpt2! };
const filesOf = (json: object) => new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);

const logitsAt = async (ref: string) => {
  const model = await Model.load(gpu, await open(ref), {});
  const logits = await logitsOf(gpu, model, BATCH);
  model.free();
  return logits;
};

/** Saves an adapter with drawn values beside a base; gives its folder. */
async function adapterOf(base: keyof typeof JSONS, name: string, targets: readonly string[]): Promise<string> {
  const method = await loadMethod("adapter", name);
  const small = { adapter_rank: 3, oft_block_size: 4, hydra_parallel: 1, hydra_sequential: 2 };
  const lora = bind(method, { rank: 3, alpha: 6 });
  const type = method.peftType === "LORA" ? lora : bindDefaults(method, small);
  const model = await Model.load(gpu, await open(join(made, base)), { adapter: { type, seed: 1, targets } });
  for (const [i, parameter] of model.trainable().entries()) {
    const around = name === "ia3" ? 1 : 0;
    parameter.write(normals(i + name.length, parameter.size, 0.2).map((x) => x + around));
  }
  const at = join(made, `${base}-${name}`);
  await saveModel(model, `${at}/`, { files: new Map(), lineage: [] });
  model.free();
  return at;
}

for (const [name, json] of Object.entries(JSONS)) {
  const model = await Model.fresh(gpu, json, name, { seed: 4 });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.shape.length === 1 && parameter.name.endsWith("bias"))
      parameter.write(normals(i, parameter.size, 0.3));
  await saveModel(model, `${join(made, name)}/`, { files: filesOf(json), lineage: [] });
  model.free();
}

test.each([
  ["llama", "lora", "ia3"],
  ["llama", "ia3", "lora"],
  ["llama", "vera", "lora"],
  ["llama", "oft", "hydra"],
  ["gpt2", "lora", "oft"],
] as const)("%s: %s, then %s", async (base, first, second) => {
  const targets = base === "gpt2" ? ["mlp.c_fc", "c_attn"] : ["k_proj", "down_proj"];
  const [one, two] = [await adapterOf(base, first, targets), await adapterOf(base, second, targets)];
  const together = await logitsAt(`${join(made, base)}+${one}+${two}`);
  // The same by way of a folder.
  const between = await Model.load(gpu, await open(`${join(made, base)}+${one}`), {});
  await saveModel(between, join(made, "between/"), { files: filesOf(JSONS[base]), lineage: [], dtype: "F32" });
  between.free();
  const wanted = await logitsAt(`${join(made, "between")}+${two}`);
  for (const [i, x] of together.entries()) expect(x).toBeCloseTo(wanted[i]!, 4);
  const alone = await logitsAt(`${join(made, base)}+${two}`);
  expect(Math.max(...alone.map((x, i) => Math.abs(x - wanted[i]!)))).toBeGreaterThan(1e-2);
});

test("merge writes what both make, and DoRA is refused", async () => {
  const targets = ["k_proj", "down_proj"];
  const [lora, ia3] = [await adapterOf("llama", "lora", targets), await adapterOf("llama", "ia3", targets)];
  const ref = `${join(made, "llama")}+${lora}+${ia3}`;
  const { code, err } = await runScript("merge", [ref, "--method", "passthrough", "-o", "flat/", "-q"], made);
  expect([code, err]).toEqual([0, ""]);
  const wanted = await logitsAt(ref);
  for (const [i, x] of (await logitsAt(join(made, "flat"))).entries()) expect(x).toBeCloseTo(wanted[i]!, 4);
  const dora = await adapterOf("llama", "dora", targets);
  await expect(open(`${join(made, "llama")}+${dora}+${ia3}`)).rejects.toThrow("one of them is DoRA");
});
