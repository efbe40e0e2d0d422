/** What `--lora-targets` chooses, and how adapter_config.json names it. */
import { describe, expect, test } from "bun:test";
import { splitTargets, targetModules, writtenTargets } from "../../../src/model/adapters/targets.ts";
import { describeConfig } from "../../../src/model/description.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_TEXT } from "../../support/tiny-models.ts";

const MODELS = { ...TINY_TEXT, ...TINY_DECODERS, ...TINY_EXPERTS };

/** Modules without `model.layers.`, and what is written of them. */
async function chosen(name: string, wanted: readonly string[] | undefined) {
  const { architecture, config } = await describeConfig(MODELS[name]!, "m");
  const specs = architecture.parameters(config);
  const targets = targetModules(specs, wanted);
  const { modules: written, parameters } = writtenTargets(specs, targets);
  return { modules: targets.map(({ module }) => module.replace("model.layers.", "")), written, parameters };
}

const of = async (name: string, ...wanted: string[]) => (await chosen(name, wanted)).modules;

test("names, ends of names, globs and regular expressions", async () => {
  const both = ["0.self_attn.q_proj", "1.self_attn.q_proj"];
  expect(await of("llama", "q_proj")).toEqual(both);
  expect(await of("llama", "self_attn.q_proj")).toEqual(both);
  expect(await of("llama", "model.layers.1.self_attn.q_proj")).toEqual(both.slice(1));
  expect(await of("llama", "*q_proj")).toEqual(both);
  expect(await of("llama", "model.layers.1.*.{q,k}_proj")).toEqual(["1.self_attn.q_proj", "1.self_attn.k_proj"]);
  expect(await of("llama", ".*\\.(q|v)_proj")).toEqual(both.flatMap((q) => [q, q.replace("q_proj", "v_proj")]));
  expect(await of("llama", "model\\.layers\\.1\\..*(gate|up)_proj")).toEqual(["1.mlp.gate_proj", "1.mlp.up_proj"]);
  // A regular expression holds for the whole name, as in PEFT.
  expect(of("llama", "(q|v)_proj")).rejects.toThrow("--lora-targets (q|v)_proj matches no linear layer of this model");
  expect(of("llama", "(q")).rejects.toThrow();
  expect(of("llama")).rejects.toThrow("--lora-targets names nothing");
  expect(await of("llama", "lm_head", "embed_tokens")).toEqual(["model.embed_tokens", "lm_head"]);
});

test("commas part values but in brackets", () => {
  expect(splitTargets(["q_proj,v_proj", "*.{a,b},c", "x(a|b){1,2}"])).toEqual([
    ...["q_proj", "v_proj", "*.{a,b}", "c", "x(a|b){1,2}"],
  ]);
});

describe("experts", () => {
  test("are chosen by an expert's own name, all of one matrix together", async () => {
    expect(await of("olmoe", "gate_proj")).toEqual(["0.mlp.experts.gate_proj", "1.mlp.experts.gate_proj"]);
    expect(await of("mixtral", "*.experts.*.w[13]")).toHaveLength(4);
    expect(of("olmoe", "experts.1.gate_proj")).rejects.toThrow(
      "--lora-targets experts.1.gate_proj leaves out model.layers.0.mlp.experts.0.gate_proj; the experts of one matrix are adapted together",
    );
    // A dense layer and a shared expert have matrices of the same names.
    expect(await of("deepseek_v3", "up_proj")).toEqual([
      "0.mlp.up_proj",
      "1.mlp.experts.up_proj",
      "1.mlp.shared_experts.up_proj",
    ]);
  });

  test("all-linear takes them and routers where they are layers; left out, neither is taken", async () => {
    expect(await of("mixtral", "all-linear")).toContain("1.block_sparse_moe.experts.w2");
    expect(await of("mixtral", "all-linear")).toContain("1.block_sparse_moe.gate");
    expect(await of("qwen2_moe", "all-linear")).toContain("0.mlp.shared_expert_gate");
    expect((await chosen("mixtral", undefined)).modules).toEqual(await of("mixtral", "*self_attn*"));
    // PEFT sees parameters there, and no layers.
    expect(await of("deepseek_v3", "all-linear")).not.toContain("1.mlp.gate");
    expect(await of("gpt_oss", "all-linear")).toEqual((await chosen("gpt_oss", undefined)).modules);
    expect(await of("llama", "all-linear")).toEqual((await chosen("llama", undefined)).modules);
  });

  test("in one parameter they are written as target_parameters", async () => {
    expect(await chosen("gpt_oss", ["gate_up_proj", "q_proj"])).toEqual({
      modules: ["0.self_attn.q_proj", "0.mlp.experts.gate_up_proj", "1.self_attn.q_proj", "1.mlp.experts.gate_up_proj"],
      ...{ written: ["q_proj"], parameters: ["mlp.experts.gate_up_proj"] },
    });
  });
});

test("what is written of a choice selects nothing else", async () => {
  const written = async (name: string, ...wanted: string[]) => (await chosen(name, wanted)).written;
  expect(await written("deepseek_v3", "up_proj")).toEqual(["up_proj"]);
  expect(await written("deepseek_v3", "shared_experts.up_proj")).toEqual(["model.layers.1.mlp.shared_experts.up_proj"]);
  expect(await written("olmoe", "*.1.mlp.experts.*.up_proj")).toEqual(
    [0, 1, 2].map((e) => `model.layers.1.mlp.experts.${e}.up_proj`),
  );
});
