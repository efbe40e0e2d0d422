/** Heads and names of checkpoints as they are found: a head beside a tied embedding, and a model saved bare. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { open } from "../../src/checkpoint/open.ts";
import { collate } from "../../src/data/batch.ts";
import { targetModules } from "../../src/model/adapters/targets.ts";
import type { Json } from "../../src/model/architecture.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-stored-head-"));
const UNTIED: Readonly<Record<string, Json>> = {
  llama: { ...TINY_TEXT.llama!, tie_word_embeddings: false },
  gpt2: { ...TINY_TEXT.gpt2!, tie_word_embeddings: false },
  qwen3: { ...TINY_TEXT.qwen3!, tie_word_embeddings: false },
};
const opened: Checkpoint[] = [];

beforeAll(async () => {
  for (const [name, json] of Object.entries(UNTIED)) {
    const model = await Model.fresh(gpu, json, name, { seed: 5 });
    const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
    await saveModel(model, `${join(folder, name)}/`, { files, lineage: [] });
    model.free();
    opened.push(await open(join(folder, name)));
  }
});
afterAll(() => {
  for (const checkpoint of opened) checkpoint.close();
  rmSync(folder, { recursive: true });
});

/** The checkpoint with another config, and its tensors under other names or from elsewhere. */
function changed(name: string, json: Json, rename: (name: string) => string | undefined): Checkpoint {
  const checkpoint = opened[Object.keys(UNTIED).indexOf(name)]!;
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify({ ...UNTIED[name]!, ...json }))]]);
  const tensors = new Map(
    [...checkpoint.tensors.values()].flatMap((entry) => {
      const other = rename(entry.name);
      return other === undefined ? [] : [[other, { ...entry, read: entry.read.bind(entry), name: other }] as const];
    }),
  );
  return { ...checkpoint, ref: "m", lineage: [], headerSha256: "", files, tensors };
}

async function logitsOf(model: Model): Promise<Float32Array> {
  const ids = Int32Array.from([3, 7, 7, 1, 9]);
  const batch = collate([[{ ids, labels: ids, group: 0, place: "0" }]], { buckets: "none" });
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { hidden, head } = model.record(rec, recordInputs(rec, batch));
  rec.output("logits", head(hidden));
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  return program.read("logits");
}

const load = async (checkpoint: Checkpoint) => {
  const remarks: string[] = [];
  const model = await Model.load(gpu, checkpoint, { warn: (remark) => remarks.push(remark) });
  return { model, remarks, logits: await logitsOf(model) };
};
const TABLE = {
  llama: "model.embed_tokens.weight",
  qwen3: "model.embed_tokens.weight",
  gpt2: "transformer.wte.weight",
};

describe.each(["llama", "qwen3", "gpt2"] as const)("%s", (name) => {
  const same = (tensor: string) => tensor;

  test("a head that differs from the embedding it is tied to is used, with a remark", async () => {
    const apart = await load(changed(name, {}, same));
    const { model, remarks, logits } = await load(changed(name, { tie_word_embeddings: true }, same));
    expect(logits).toEqual(apart.logits);
    expect(apart.remarks).toEqual([]);
    expect(remarks).toHaveLength(1);
    expect(remarks[0]).toContain(`m: lm_head.weight differs from ${TABLE[name]}, though config.json ties them`);
    expect(model.stored.map((tensor) => tensor.name)).toContain("lm_head.weight");
    model.free();
    apart.model.free();
  });

  test("an equal one is the embedding, held once", async () => {
    const tied = await load(
      changed(name, { tie_word_embeddings: true }, (t) => (t === "lm_head.weight" ? undefined : t)),
    );
    const source = changed(name, { tie_word_embeddings: true }, same);
    const table = source.tensors.get(TABLE[name])!;
    const tensors = new Map([...source.tensors, ["lm_head.weight", { ...table, name: "lm_head.weight" }]]);
    const { model, remarks, logits } = await load({ ...source, tensors });
    expect([remarks, logits]).toEqual([[], tied.logits]);
    expect(model.parameterCount()).toEqual(tied.model.parameterCount());
    expect(model.stored.map((tensor) => tensor.name)).toEqual(tied.model.stored.map((tensor) => tensor.name));
    model.free();
    tied.model.free();
  });

  test("a model saved without its head has bare names", async () => {
    const bare = (t: string) => (t === "lm_head.weight" ? undefined : t.replace(/^(model|transformer)\./, ""));
    const tied = await load(
      changed(name, { tie_word_embeddings: true }, (t) => (t === "lm_head.weight" ? undefined : t)),
    );
    const { model, remarks, logits } = await load(changed(name, { tie_word_embeddings: true }, bare));
    expect([remarks, logits]).toEqual([[], tied.logits]);
    model.free();
    tied.model.free();
    await expect(Model.load(gpu, changed(name, {}, bare))).rejects.toThrow("m has no tensor lm_head.weight");
  });
});

test("adapters leave routers and gates of one row alone unless they are named", async () => {
  const { architecture, config } = await describeConfig({ ...MOE, model_type: "qwen2_moe" }, "m");
  const targets = (wanted: readonly string[] | undefined) =>
    targetModules(architecture.parameters(config), wanted).map(({ module }) => module.split(".").slice(3).join("."));
  const all = targets(undefined);
  expect(all).toContain("mlp.shared_expert.up_proj");
  expect(all).toContain("self_attn.q_proj");
  expect(all.filter((module) => /gate$/.test(module))).toEqual([]);
  expect(targets(["gate"])).toEqual(["mlp.gate", "mlp.gate"]);
});

const MOE = {
  ...TINY_TEXT.llama!,
  ...{ moe_intermediate_size: 8, shared_expert_intermediate_size: 12, num_experts: 4, num_experts_per_tok: 2 },
};
