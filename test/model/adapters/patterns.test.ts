/** Ranks and alphas that a config gives single layers by patterns, of types of PEFT other than LoRA. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { liveChoice } from "../../../src/model/adapters/from-file.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-patterns-"));
afterAll(() => rmSync(made, { recursive: true }));
const IDS = Int32Array.of(1, 5, 7, 2, 9, 36, 4, 8);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "" }]], { buckets: "none" });

test.each(["loha", "lokr"])("%s", async (name) => {
  const base = join(made, "base");
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(TINY_TEXT.llama))]]);
  const type = bindDefaults(await loadMethod("adapter", name), { adapter_rank: 2, adapter_alpha: 3 });
  const targets = ["q_proj", "down_proj"];
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, name, { seed: 3, adapter: { type, seed: 1, targets } });
  for (const [i, parameter] of model.trainable().entries()) parameter.write(normals(i, parameter.size, 0.4));
  const wanted = await logitsOf(gpu, model, BATCH);
  const at = join(made, name);
  await saveModel(model, at, { files: new Map(), lineage: [] });
  await saveModel(model, base, { files, lineage: [], base: true, dtype: "held" });
  model.free();
  // The same adapter, said in another way: q_proj as the config has it, down_proj by patterns.
  const patterned = join(made, `${name}-patterned`);
  cpSync(at, patterned, { recursive: true });
  const config = JSON.parse(readFileSync(join(at, "adapter_config.json"), "utf8"));
  const other = {
    r: 5,
    alpha: 11,
    rank_pattern: { q_proj: 2, ".*down_proj": 2 },
    alpha_pattern: { q_proj: 3, down_proj: 3 },
  };
  writeFileSync(join(patterned, "adapter_config.json"), JSON.stringify({ ...config, ...other }));
  const checkpoint = await open(base);
  const file = await openPlain(patterned);
  const live = await Model.load(gpu, checkpoint, { adapter: await liveChoice(file) });
  expect(await logitsOf(gpu, live, BATCH)).toEqual(wanted);
  live.free();
  const folded = await Model.load(gpu, await applyAdapter(checkpoint, file), {});
  for (const [i, x] of (await logitsOf(gpu, folded, BATCH)).entries()) expect(x).toBeCloseTo(wanted[i]!, 4);
  folded.free();
  writeFileSync(join(patterned, "adapter_config.json"), JSON.stringify({ ...config, ...other, alpha_pattern: {} }));
  const louder = await Model.load(gpu, await applyAdapter(checkpoint, await openPlain(patterned)), {});
  const found = await logitsOf(gpu, louder, BATCH);
  louder.free();
  expect(Math.max(...found.map((x, i) => Math.abs(x - wanted[i]!)))).toBeGreaterThan(1e-3);
});
