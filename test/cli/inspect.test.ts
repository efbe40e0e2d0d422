/** `inspect` as a process: what a checkpoint is, by its headers and files. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./fixtures/run.ts";
import { INPUTS, INSPECT, inspect, json, lines, ROOT, TINY } from "./inspected.ts";

// Each test starts a few processes, which may be shells that start more.
setDefaultTimeout(120_000);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-inspect-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("what it is", () => {
  test("facts and grouped tensors, without a GPU", async () => {
    const { out, code } = await run(
      [join(TINY, "base"), "-q"],
      { VK_DRIVER_FILES: "/nowhere", VK_ICD_FILENAMES: "/nowhere" },
      INSPECT,
    );
    expect(code).toBe(0);
    const text = lines(out);
    expect(text[0]).toBe(`${join(TINY, "base")} (folder)`);
    expect(text).toContain(
      "  architecture  LlamaForCausalLM (llama), 2 layers, hidden 32, 4 heads (2 key-value), vocabulary 64, not tied",
    );
    expect(text).toContain("  tokenizer     none");
    expect(text).toContain("  parameters    22,688: 4,096 in embeddings, 18,592 in the rest");
    expect(text).toContain("  dtypes        F32: 21 tensors, 90.8 kB");
    expect(text).toContain("model.layers.{0..1}.mlp.up_proj.weight               (64, 32)  F32  x2");
    expect(text.at(-1)).toBe("lineage: none");
  });

  test("-v lists every tensor; --tensors chooses", async () => {
    const { out } = await inspect(join(TINY, "base"), "-v");
    expect(out).toContain("model.layers.0.mlp.up_proj.weight ");
    expect(out).not.toContain("{");
    const chosen = await inspect(join(TINY, "base"), "--tensors", "*norm*");
    expect(chosen.out).toContain("  parameters    160\n");
    const none = await inspect(join(TINY, "base"), "--tensors", "nothing");
    expect([none.code, none.err]).toEqual([
      2,
      `inspect: no tensor of ${join(TINY, "base")} matches nothing\n  hint: its names are like lm_head.weight, model.embed_tokens.weight\n`,
    ]);
  });

  test("shards are counted", async () => {
    const { out } = await inspect(join(INPUTS, "deep/base"));
    expect(out).toContain("  weights       60.2 kB in 2 shards\n");
    expect(out).toContain("model.layers.{0..5}.self_attn.q_proj.weight");
  });

  test("--json has the facts and every tensor", async () => {
    const { lineage, tensors, ...facts } = await json(join(TINY, "base"));
    expect(facts).toMatchObject({
      kind: "folder",
      architecture: {
        architecture: "LlamaForCausalLM",
        layers: 2,
        hidden: 32,
        heads: 4,
        kv_heads: 2,
        vocab: 64,
        tied: false,
      },
      tokenizer: false,
      files: ["config.json"],
      parameters: { total: 22688, embeddings: 4096, rest: 18592 },
      bytes: 90752,
      dtypes: { F32: { tensors: 21, parameters: 22688, bytes: 90752 } },
    });
    expect(lineage).toEqual([]);
    expect(tensors).toHaveLength(21);
    expect(tensors[0]).toEqual({
      name: "lm_head.weight",
      dtype: "F32",
      shape: [64, 32],
      parameters: 2048,
      bytes: 8192,
    });
  });

  test("an adapter alone stays an adapter; on its base it is applied", async () => {
    const golden = join(ROOT, "test/golden/train");
    const alone = await inspect(join(golden, "lora-basic"));
    expect(alone.out).toMatch(/^ {2}adapter +LORA, rank \d+, alpha \d+, on /m);
    expect(alone.out).toContain("lora_A");
    const both = `${join(golden, "lora-base")}+${join(golden, "lora-basic")}`;
    const { diff } = await json(both, "--diff", join(golden, "lora-base"));
    expect(diff.total.distance).toBeGreaterThan(0);
    expect(diff.total.identical).toBeLessThan(diff.total.compared);
  });

  test("two checkpoints are one too many, and a folder without weights says so", async () => {
    const { code, err } = await inspect("a", "b");
    expect([code, err]).toEqual([2, "inspect: unexpected argument b\n  hint: did you mean --diff b?\n"]);
    expect((await inspect(folder)).code).toBe(2);
  });
});

test("--help needs nothing", async () => {
  const { out, code } = await run(["--help"], {}, INSPECT);
  expect(code).toBe(0);
  expect(out).toStartWith("inspect: Look into a checkpoint: what it is, what its tensors hold, and how it\nwas made.");
  expect(out).toContain("--diff OTHER");
});
