/** `merge moe`: mixtures of dense models, their routers, and what is refused. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import type { Json } from "../../src/model/architecture.ts";
import { json, relativeError, SIZES, tinyLogits, tinyTensors, writeTiny } from "../merge/experts/models.ts";
import { runScript, runShell } from "../support/command.ts";
import { ingotOnPath } from "../support/ingot.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
const at = (name: string): string => join(folder, name);
const moe = (line: string) => runScript("merge", ["moe", ...line.split(" ")], folder);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-moe-"));
  for (const [i, name] of ["base", "a", "b"].entries()) await writeTiny(folder, name, json("llama"), 3 + i);
  await writeTiny(folder, "mistral", json("mistral", { sliding_window: 3 }), 6);
  await writeTiny(folder, "qwen2", json("qwen2"), 7);
  await writeTiny(folder, "qwen3", json("qwen3", { head_dim: 6 }), 8);
  await writeTiny(
    folder,
    "olmoe",
    json("olmoe", { num_experts: 1, num_experts_per_tok: 1, num_key_value_heads: 2 }),
    9,
  );
  await writeTiny(folder, "wide", json("llama", { intermediate_size: 16 }), 10);
  await writeTiny(folder, "biased", json("llama", { attention_bias: true }), 11);
  writeFileSync(
    at("rows.jsonl"),
    Array.from(
      { length: 12 },
      (_, i) => `${JSON.stringify({ text: `row ${i} of some ${"abc".repeat(i % 9)}` })}\n`,
    ).join(""),
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

const floats = ({ bytes }: { readonly bytes: Uint8Array }): Float32Array => decodeFloats(bytes, "F32");

const configOf = (name: string): Json => JSON.parse(readFileSync(join(at(name), "config.json"), "utf8")) as Json;

describe("copies of one model", () => {
  const forms = [
    ["mixtral", "base", "--experts 4", "MixtralForCausalLM"],
    ["mixtral", "mistral", "--experts 3 --experts-per-token 3", "MixtralForCausalLM"],
    ["qwen3_moe", "qwen3", "--experts 4", "Qwen3MoeForCausalLM"],
    ["qwen2_moe", "qwen2", "--experts 4 --gate-mode uniform-random", "Qwen2MoeForCausalLM"],
    ["qwen2_moe", "base", "--experts 2 --architecture qwen2_moe", "Qwen2MoeForCausalLM"],
    ["deepseek", "base", "--experts 4 --shared base", "DeepseekForCausalLM"],
    ["deepseek", "base", "--experts 2 --architecture deepseek", "DeepseekForCausalLM"],
    ["deepseek", "base", "--experts 4 --shared base --residual-scale 0", "DeepseekForCausalLM"],
    ["olmoe", "olmoe", "--experts 2", "OlmoeForCausalLM"],
    ["mixtral", "base", "--experts 4 --gate-mode centroid --calib rows.jsonl", "MixtralForCausalLM"],
  ] as const;
  test.each(forms)("as %s of %s with %s compute what it does", async (type, base, flags, className) => {
    const { code, err } = await moe(`${base} ${flags} -o of-${base} --overwrite -q`);
    expect([code, err.replaceAll(/.*(no power of two|are zeros).*\n/g, "")]).toEqual([0, ""]);
    const { model_type, architectures, hidden_size } = configOf(`of-${base}`);
    expect([model_type, architectures, hidden_size]).toEqual([type, [className], SIZES.hidden_size]);
    expect(relativeError(await tinyLogits(at(`of-${base}`)), await tinyLogits(at(base)))).toBeLessThan(2e-6);
  });

  test("go to shards and GGUF files as other results do", async () => {
    const { code, err } = await runShell(
      [
        "$MERGE moe base --experts 2 -q -o whole --shards 2",
        "$MERGE moe base --experts 2 -q -o shards --shard 1/2",
        "$MERGE moe base --experts 2 -q -o shards --shard 2/2",
        "cmp whole/model-00001-of-00002.safetensors shards/model-00001-of-00002.safetensors",
        "cmp whole/model-00002-of-00002.safetensors shards/model-00002-of-00002.safetensors",
        "$MERGE moe base --experts 2 -q -o made.gguf",
      ].join(" && "),
      folder,
    );
    expect([code, err]).toEqual([0, ""]);
    expect(relativeError(await tinyLogits(at("made.gguf")), await tinyLogits(at("base")))).toBeLessThan(1e-5);
  });

  test("noise is added to every matrix of an expert, by its name and the seed", async () => {
    for (const [name, flags] of Object.entries({ n1: "--seed 5", n2: "--seed 5", n3: "--seed 6" }))
      expect((await moe(`base --experts 2 --noise 0.5 -q ${flags} -o ${name}.safetensors`)).code).toBe(0);
    const bytes = ["n1", "n2", "n3"].map((name) => readFileSync(at(`${name}.safetensors`)));
    expect(bytes[0]!.equals(bytes[1]!)).toBe(true);
    expect(bytes[0]!.equals(bytes[2]!)).toBe(false);
    const [made, base] = [await tinyTensors(at("n1.safetensors")), await tinyTensors(at("base"))];
    const added: number[] = [];
    for (const [w, own] of Object.entries({ w1: "gate", w2: "down", w3: "up" }))
      for (const e of [0, 1]) {
        const from = floats(base.get(`model.layers.1.mlp.${own}_proj.weight`)!);
        const noisy = floats(made.get(`model.layers.1.block_sparse_moe.experts.${e}.${w}.weight`)!);
        added.push(...noisy.map((value, i) => value - from[i]!));
      }
    expect(new Set(added.map((value) => value.toFixed(6))).size).toBeGreaterThan(0.99 * added.length);
    const mean = added.reduce((a, b) => a + b, 0) / added.length;
    const deviation = Math.sqrt(added.reduce((sum, x) => sum + (x - mean) ** 2, 0) / added.length);
    expect(Math.abs(mean)).toBeLessThan(0.05);
    expect(Math.abs(deviation - 0.5)).toBeLessThan(0.04);
  });

  test("come through a pipe too, and begin to be trained", async () => {
    const { code, err } = await runShell(
      [
        "$MERGE a b --method linear -q > mean.safetensors",
        "$MERGE a b --method linear -q | $MERGE moe - --experts 2 -q -o piped.safetensors",
        "$MERGE moe mean.safetensors --experts 2 -q -o named.safetensors",
        "cmp piped.safetensors named.safetensors",
        "$MERGE moe base --experts 2 -q -o named",
      ].join(" && "),
      folder,
    );
    expect([code, err]).toEqual([0, ""]);
    const trained = await runScript(
      "train",
      [
        "named",
        "--train-only",
        "*.gate.weight",
        "--data",
        "rows.jsonl",
        "--steps",
        "2",
        "--lr",
        "0.1",
        "-q",
        "-o",
        "trained",
      ],
      folder,
    );
    expect(trained.code).toBe(0);
    const [before, after] = [await tinyTensors(at("named")), await tinyTensors(at("trained"))];
    const changed = [...before].filter(([name, { bytes }]) => Buffer.compare(bytes, after.get(name)!.bytes) !== 0);
    expect(changed.map(([name]) => name)).toEqual(
      [0, 1].map((layer) => `model.layers.${layer}.block_sparse_moe.gate.weight`),
    );
  });
});

const recipe = (name: string, text: string): string => {
  writeFileSync(at(name), text);
  return name;
};

const TWO = `experts:
- {source_model: a, positive_prompts: ["one two", "three"], negative_prompts: [zzz]}
- {source_model: b, positive_prompts: ["what is this?"]}
`;

describe("recipes", () => {
  test("every tensor has the bits of its source", async () => {
    const { code, err } = await moe(`${recipe("two.yml", `base_model: base\ngate_mode: hidden\n${TWO}`)} -q -o two`);
    expect([code, err]).toEqual([0, ""]);
    const [made, base, a, b] = [
      await tinyTensors(at("two")),
      await tinyTensors(at("base")),
      await tinyTensors(at("a")),
      await tinyTensors(at("b")),
    ];
    const words = { w1: "gate", w2: "down", w3: "up" } as const;
    let experts = 0;
    for (const [name, tensor] of made) {
      const place = /layers\.(\d)\.block_sparse_moe\.experts\.(\d)\.(w\d)/.exec(name);
      if (place) {
        const [, layer, e, w] = place;
        const own = `model.layers.${layer}.mlp.${words[w as "w1"]}_proj.weight`;
        expect([name, tensor]).toEqual([name, (e === "0" ? a : b).get(own)!]);
        experts++;
      } else if (!name.endsWith("block_sparse_moe.gate.weight"))
        expect([name, tensor]).toEqual([name, base.get(name)!]);
    }
    expect(experts).toBe(2 * 2 * 3);
    expect([configOf("two").num_local_experts, configOf("two").num_experts_per_tok]).toEqual([2, 2]);
  });

  test("dtype rounds all, residual_scale multiplies the last matrix, an adapter is applied", async () => {
    const text = `base_model: base\ngate_mode: random\ndtype: bfloat16\nexperts_per_token: 1\nexperts:\n- source_model: a\n  residual_scale: -2\n- source_model: b\n`;
    expect((await moe(`${recipe("scaled.yml", text)} -q -o scaled`)).code).toBe(0);
    const [made, a] = [await tinyTensors(at("scaled")), await tinyTensors(at("a"))];
    expect(new Set([...made.values()].map(({ dtype }) => dtype))).toEqual(new Set(["BF16"]));
    expect(configOf("scaled").torch_dtype).toBe("bfloat16");
    const down = decodeFloats(made.get("model.layers.0.block_sparse_moe.experts.0.w2.weight")!.bytes, "BF16");
    const source = floats(a.get("model.layers.0.mlp.down_proj.weight")!);
    expect(
      relativeError(
        down,
        source.map((x) => -2 * x),
      ),
    ).toBeLessThan(2 ** -8);
    const up = decodeFloats(made.get("model.layers.0.block_sparse_moe.experts.0.w3.weight")!.bytes, "BF16");
    expect(relativeError(up, floats(a.get("model.layers.0.mlp.up_proj.weight")!))).toBeLessThan(2 ** -8);
  });

  test("say what flags say", async () => {
    const text = `base_model: base\ngate_mode: random\nexperts_per_token: 1\nexperts:\n- source_model: a\n- source_model: b\n`;
    expect((await moe(`${recipe("drawn.yml", text)} -q -o drawn`)).code).toBe(0);
    const flags = await moe("base a b --gate-mode random --experts-per-token 1 -q -o flagged");
    expect([flags.code, flags.err]).toEqual([0, ""]);
    expect(await tinyTensors(at("flagged"))).toEqual(await tinyTensors(at("drawn")));
  });

  test("a shared expert goes to Qwen2-MoE with a gate from its prompts, or of zeros with a remark", async () => {
    const shared = (more: string) =>
      `base_model: base\ngate_mode: cheap_embed\narchitecture: qwen\n${TWO}shared_experts:\n- {source_model: wide${more}}\n`;
    const bare = await moe(`${recipe("bare.yml", shared(""))} -q -o bare`);
    expect(bare.code).toBe(0);
    expect(bare.err).toContain("the shared expert has no positive_prompts: its gate is zeros");
    const gate = "model.layers.1.mlp.shared_expert_gate.weight";
    expect(floats((await tinyTensors(at("bare"))).get(gate)!).every((x) => x === 0)).toBe(true);
    const told = await moe(`${recipe("told.yml", shared(", positive_prompts: [all]"))} -q -o told`);
    expect(told.code).toBe(0);
    const made = await tinyTensors(at("told"));
    const length = floats(made.get(gate)!).reduce((sum, x) => sum + x * x, 0);
    expect(length).toBeCloseTo(1, 5);
    expect(made.get("model.layers.0.mlp.shared_expert.up_proj.weight")!.shape).toBe("16,20");
    expect(configOf("told").shared_expert_intermediate_size).toBe(16);
    expect((await tinyLogits(at("told"))).every(Number.isFinite)).toBe(true);
  });

  test("lineage makes it again, byte for byte", async () => {
    expect(
      (await moe(`${recipe("again.yml", `base_model: base\n${TWO}`)} -q -o first.safetensors --gate-input residual`))
        .code,
    ).toBe(0);
    const { text } = await runScript("inspect", ["first.safetensors", "--command"], folder);
    expect(text).toContain("merge moe");
    writeFileSync(at("again.sh"), `bun() { shift; ingot "$@"; }\n${text}`);
    const ran = Bun.spawnSync(["sh", "again.sh", "again.safetensors"], { cwd: folder, env: ingotOnPath(folder) });
    expect([ran.exitCode, ran.stderr.toString()]).toEqual([0, expect.any(String)]);
    expect(readFileSync(at("again.safetensors")).equals(readFileSync(at("first.safetensors")))).toBe(true);
  });

  test("a dry run says what it takes, and writes nothing", async () => {
    const { code, text } = await moe(`${recipe("dry.yml", `base_model: base\n${TWO}`)} -n -o dry`);
    expect(code).toBe(0);
    expect(text).toMatch(/layout +Mixtral \(mixtral\)/);
    expect(text).toMatch(/GPU memory +at least \d/);
    expect(existsSync(at("dry"))).toBe(false);
  });
});

describe("warns", () => {
  test("of rows that are alike, and of a number of experts that is no power of two", async () => {
    const text = `base_model: base\nexperts:\n- {source_model: a, positive_prompts: [one two three]}\n- {source_model: b, positive_prompts: [one two three]}\n- {source_model: base, positive_prompts: [x]}\n`;
    const { code, err } = await moe(`${recipe("alike.yml", text)} -q -o alike`);
    expect(code).toBe(0);
    expect(err).toContain("rows of expert 0 (a) and expert 1 (b) have a cosine of 1.0000");
    expect(err).toContain("condition number above 5");
    expect(err).toContain("3 experts are no power of two");
  });
});

describe("refuses", () => {
  const expert = "- {source_model: a, positive_prompts: [x]}\n- {source_model: b, positive_prompts: [y]}\n";
  const wrong: readonly (readonly [string, string, string])[] = [
    [
      "an unknown key, with its place",
      `base_model: base\ngate_node: hidden\nexperts:\n${expert}`,
      "wrong.yml:2:12: unknown key gate_node",
    ],
    ["an unknown mode", `base_model: base\ngate_mode: hiden\nexperts:\n${expert}`, "unknown gate_mode hiden"],
    [
      "a recipe of a merge",
      "merge_method: linear\nmodels: [{model: a}]\n",
      "this is a recipe of a merge, not of experts",
    ],
    ["no experts", "base_model: base\nexperts: []\n", "experts must be a list with at least one entry"],
    [
      "an expert without prompts",
      "base_model: base\nexperts:\n- {source_model: a, positive_prompts: [x]}\n- {source_model: b}\n",
      "expert 1 (b) has no positive_prompts",
    ],
    [
      "the same prompts for all",
      "base_model: base\nexperts:\n- {source_model: a, positive_prompts: [x]}\n- {source_model: b, positive_prompts: [x]}\n",
      "the prompts of all experts are the same",
    ],
    [
      "the same model twice",
      "base_model: base\nexperts:\n- {source_model: a, positive_prompts: [x]}\n- {source_model: ./a/, positive_prompts: [y]}\n",
      "experts 0 and 1 (a, a) have the same weights",
    ],
    [
      "prompts that cancel",
      "base_model: base\nexperts:\n- {source_model: a, positive_prompts: [x], negative_prompts: [x]}\n- {source_model: b, positive_prompts: [y]}\n",
      "point nowhere",
    ],
    [
      "experts of another size",
      `base_model: base\nexperts:\n${expert}- {source_model: wide, positive_prompts: [z]}\n`,
      "wide has an intermediate_size of 16",
    ],
    [
      "families that do not fit",
      `base_model: qwen3\nexperts:\n${expert}`,
      "No mixture of experts is built of models of type qwen3 and llama",
    ],
    [
      "more experts per token than there are",
      `base_model: base\nexperts_per_token: 3\nexperts:\n${expert}`,
      "3 experts per token",
    ],
    [
      "latent attention",
      `base_model: base\narchitecture: deepseek_v2\nexperts:\n${expert}`,
      "DeepSeek-V2 and V3 have latent attention",
    ],
    [
      "an unknown layout",
      `base_model: base\narchitecture: gemma\nexperts:\n${expert}`,
      "architecture gemma is no layout",
    ],
    [
      "Qwen2-MoE without a shared expert",
      `base_model: base\narchitecture: qwen2\nexperts:\n${expert}`,
      "Qwen2-MoE has exactly 1 shared expert",
    ],
    ["a base with biases that the layout lacks", `base_model: biased\nexperts:\n${expert}`, "attention_bias"],
    [
      "a negative noise_scale",
      "base_model: base\nexperts:\n- {source_model: a, noise_scale: -1}\n",
      "noise_scale must be a number of at least 0",
    ],
    [
      "two documents",
      `base_model: base\nexperts:\n${expert}---\nbase_model: base\nexperts:\n${expert}`,
      "holds 2 documents",
    ],
  ];
  test.each(wrong)("%s", async (_, text, message) => {
    const { code, err } = await moe(`${recipe("wrong.yml", text)} -q -o wrong`);
    expect([code, err.includes(message), err]).toEqual([2, true, err]);
    expect(existsSync(at("wrong"))).toBe(false);
  });

  const flags: readonly (readonly [string, string, string])[] = [
    ["one model without a number", "base -o wrong", "a mixture needs experts"],
    ["a number beside models", "base a --experts 2 -o wrong", "--experts makes copies of one model"],
    ["clusters of nothing", "base --experts 2 --gate-mode centroid -o wrong", "give --calib"],
    ["rows that nothing reads", "base --experts 2 --calib rows.jsonl -o wrong", "--calib has no effect"],
    ["flags that a recipe has keys for", "two.yml --noise 0.1 -o wrong", "--noise is for a recipe to say"],
    [
      "more clusters than tokens",
      "base --experts 8 --gate-mode centroid --calib rows.jsonl --calib-tokens 4 -o wrong",
      "4 tokens of --calib",
    ],
    ["a type that is none", "base --experts 2 --dtype int8 -o wrong", "--dtype int8"],
    ["an OLMoE of several experts", "two --experts 2 -o wrong", "models of type mixtral"],
  ];
  test.each(flags)("%s", async (_, line, message) => {
    const { code, err } = await moe(`${line} -q`);
    expect([code, err.includes(message), err]).toEqual([2, true, err]);
    expect(existsSync(at("wrong"))).toBe(false);
  });

  test("and a plain merge says where such a recipe belongs", async () => {
    recipe("misplaced.yml", `base_model: base\ngate_mode: random\nexperts:\n${expert}`);
    const { code, err } = await runScript("merge", ["misplaced.yml", "-q", "-o", "wrong"], folder);
    expect([code, err.includes("misplaced.yml:2:12: this is a recipe of a mixture of experts"), err]).toEqual([
      2,
      true,
      err,
    ]);
  });

  test("but takes what is the same where that is wanted, by mergekit's flag too", async () => {
    const text =
      "base_model: base\nexperts:\n- {source_model: a, positive_prompts: [x]}\n- {source_model: a, positive_prompts: [x]}\n";
    for (const flag of ["--allow-identical", "--i-understand-this-is-not-useful-without-training"]) {
      const { code, err } = await moe(`${recipe("same.yml", text)} ${flag} -q -o same --overwrite`);
      expect(code).toBe(0);
      expect(err).toContain("have the same weights");
    }
  });
});
