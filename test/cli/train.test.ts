/** `train` through the command line: the reference's numbers, equal bytes, what it says. */
import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runShell } from "../support/command.ts";
import { GOLDEN, GOLDEN_OPTIONS, trainLab } from "./train-lab.ts";

const { at, folder, run } = trainLab();

describe("the reference's numbers through the command line", () => {
  test.each([
    ["llama-tied", [], "model.safetensors"],
    ["lora-base+lora-basic", ["--lora-continue"], "adapter_model.safetensors"],
  ] as const)(
    "%s",
    async (model, options, file) => {
      const name = model.split("+").at(-1)!;
      const golden = JSON.parse(readFileSync(join(GOLDEN, name, "case.json"), "utf8"));
      const expected = await tensorsOf(join(GOLDEN, name, "expected.safetensors"));
      const measured = await run("evaluate", [
        model,
        "--data",
        `${name}-first.jsonl`,
        "--metric",
        "loss",
        "--dump",
        "logits.safetensors",
        "--overwrite",
        "--json",
        "-q",
      ]);
      expect(measured.err).toBe("");
      const { loss } = JSON.parse(measured.text.trimEnd().split("\n").at(-1)!);
      expect(Math.abs(loss - golden.expected_losses[0])).toBeLessThan(golden.tolerance.loss_abs);
      const logits = (await tensorsOf(at("logits.safetensors"))).get("logits")!;
      const wanted = expected.get("logits")!;
      const most = wanted.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      expect(logits.length).toBe(wanted.length);
      expect(logits.reduce((a, b, i) => Math.max(a, Math.abs(b - wanted[i]!)), 0) / most).toBeLessThan(1e-5);

      const trained = await run("train", [
        model,
        ...options,
        "--data",
        `${name}.jsonl`,
        ...GOLDEN_OPTIONS,
        "-o",
        `${name}-out/`,
        "-q",
      ]);
      expect(trained.err).toBe("");
      const after = await tensorsOf(at(`${name}-out/${file}`));
      for (const [tensor, values] of after) {
        const reference = expected.get(`after3.${tensor}`)!;
        const worst = values.reduce((a, b, i) => Math.max(a, Math.abs(b - reference[i]!)), 0);
        expect(worst).toBeLessThanOrEqual(golden.tolerance.after3_abs_worst);
      }
      expect(existsSync(at(`${name}-out-state`))).toBe(false);
    },
    60_000,
  );
});

test("the same command gives the same bytes, and a pipe the bytes of a file", async () => {
  const line = "--data llama-tied.jsonl --batch-size 2 --steps 2 --seed 3 -q";
  const { err, code } = await runShell(
    `$TRAIN llama-tied ${line} > one.safetensors && $MERGE llama-tied --method passthrough -q | $TRAIN ${line} > two.safetensors && $TRAIN llama-tied ${line} -o three.safetensors && cmp one.safetensors three.safetensors`,
    folder,
  );
  expect(err).toBe("");
  expect(code).toBe(0);
  const [one, two] = [await tensorsOf(at("one.safetensors")), await tensorsOf(at("two.safetensors"))];
  expect(two).toEqual(one);
}, 120_000);

test("a schedule that never reaches the rate warns", async () => {
  const argv = ["llama-tied", "--data", "llama-tied.jsonl", "--steps", "4", "-q", "--overwrite", "-o", "slow/"];
  const { err } = await run("train", [...argv, "--warmup", "8"]);
  expect(err).toBe(
    "train: warning: the cosine schedule reaches 38 % of --lr 0.001 at most in 4 steps; train longer, or shorten its phases\n",
  );
  expect((await run("train", [...argv, "--warmup", "2"])).err).toBe("");
}, 120_000);

test("--dry-run says parameters, memory and steps, and writes nothing", async () => {
  const { text, code } = await run("train", [
    "llama-tied",
    "--data",
    "llama-tied.jsonl",
    "--batch-size",
    "2",
    "--epochs",
    "4",
    "-o",
    "dry/",
    "-n",
    "--json",
    "-q",
  ]);
  expect(code).toBe(0);
  const plan = JSON.parse(text);
  expect(plan.steps).toBe(12);
  expect(plan.parameters.total).toBe(plan.parameters.trainable);
  expect(plan.memory.gradients).toBe(4 * plan.parameters.total);
  expect(plan.memory.optimizer).toBe(8 * plan.parameters.total);
  expect(existsSync(at("dry"))).toBe(false);
}, 120_000);

test("evaluate loses nothing of a small change to weights in bf16", async () => {
  const data = ["--data", "llama-tied-first.jsonl", "--batch-size", "2", "-q"];
  const one = ["--steps", "1", "--schedule", "constant", "--dtype", "f32", ...data];
  const made = await run("train", ["llama-tied", "--freeze", "*norm*", "--out-dtype", "bf16", ...one, "-o", "half/"]);
  expect(made.err).toBe("");
  const lora = ["--lora", "--lora-rank", "2", "--lr", "0.03"];
  for (const [name, how] of Object.entries({ lora, dora: [...lora, "--dora"] })) {
    expect((await run("train", ["half", ...how, ...one, "-o", `${name}-half/`])).err).toBe("");
    const measured = await run("evaluate", [`half+${name}-half`, "--metric", "loss", "--json", ...data]);
    const { loss } = JSON.parse(measured.text.trimEnd().split("\n").at(-1)!);
    const log = at(`${name}-half.log`);
    await run("train", [`half+${name}-half`, "--lora-continue", ...one, "--log", log, "-o", `${name}-on/`]);
    const step = readFileSync(log, "utf8")
      .split("\n")
      .find((line) => line.includes('"event":"step"'))!;
    expect(Math.abs(JSON.parse(step).loss - loss)).toBeLessThan(1e-6 * loss);
  }
}, 120_000);

test("an adapter of a rank above the sides of its layers trains, and computes what its merge does", async () => {
  const data = ["--data", "lora-basic-first.jsonl", "--batch-size", "2", "-q"];
  const one = ["--steps", "1", "--schedule", "constant", ...data];
  const lora = ["--lora", "--lora-rank", "40", "--lr", "0.03"];
  expect((await run("train", ["lora-base", ...lora, ...one, "-o", "wide/"])).err).toBe("");
  const a = (await tensorsOf(at("wide/adapter_model.safetensors"))).get(
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
  )!;
  expect(a.length).toBe(40 * 32);
  const measured = await run("evaluate", ["lora-base+wide", "--metric", "loss", "--json", ...data]);
  const { loss } = JSON.parse(measured.text.trimEnd().split("\n").at(-1)!);
  await run("train", ["lora-base+wide", "--lora-continue", ...one, "--log", at("wide.log"), "-o", "wide-on/"]);
  const step = readFileSync(at("wide.log"), "utf8")
    .split("\n")
    .find((line) => line.includes('"event":"step"'))!;
  expect(Math.abs(JSON.parse(step).loss - loss)).toBeLessThan(1e-6 * loss);
}, 120_000);

test("an adapter goes on with its own dropout", async () => {
  const config = JSON.parse(readFileSync(at("lora-basic/adapter_config.json"), "utf8"));
  cpSync(at("lora-basic"), at("lora-dropout"), { recursive: true });
  writeFileSync(at("lora-dropout/adapter_config.json"), JSON.stringify({ ...config, lora_dropout: 0.5 }));
  const train = async (adapter: string, ...options: string[]) => {
    const argv = [
      "--lora-continue",
      "--data",
      "lora-basic.jsonl",
      "--steps",
      "2",
      "-q",
      "--overwrite",
      ...options,
      "-o",
      "on/",
    ];
    expect((await run("train", [`lora-base+${adapter}`, ...argv])).err).toBe("");
    const told = JSON.parse(readFileSync(at("on/adapter_config.json"), "utf8")).lora_dropout;
    return [readFileSync(at("on/adapter_model.safetensors")).subarray(-1000).toString("hex"), told];
  };
  const plain = await train("lora-basic");
  const own = await train("lora-dropout");
  expect(plain[1]).toBe(0);
  expect(own[1]).toBe(0.5);
  expect(own[0]).not.toBe(plain[0]);
  expect(await train("lora-basic", "--lora-dropout", "0.5")).toEqual(own);
  expect(await train("lora-dropout", "--lora-dropout", "0")).toEqual(plain);
}, 120_000);

test("a fresh model's config says all that other tools read, and the dtype of the file", async () => {
  const config = {
    model_type: "qwen3",
    hidden_size: 24,
    intermediate_size: 40,
    num_hidden_layers: 1,
    num_attention_heads: 3,
    vocab_size: 101,
  };
  writeFileSync(at("bare.json"), JSON.stringify(config));
  writeFileSync(at("whole.json"), JSON.stringify({ ...config, head_dim: 8, num_key_value_heads: 1 }));
  for (const [name, dtype] of [
    ["bare", "f32"],
    ["whole", "bf16"],
  ] as const)
    await run("train", [
      "--init",
      `${name}.json`,
      "--data",
      "llama-tied.jsonl",
      "--steps",
      "1",
      "-q",
      "--out-dtype",
      dtype,
      "-o",
      `${name}/`,
    ]);
  const written = (name: string) => readFileSync(at(`${name}/config.json`), "utf8");
  const common = {
    architectures: ["Qwen3ForCausalLM"],
    ...config,
    head_dim: 8,
    hidden_act: "silu",
    max_position_embeddings: 2048,
    initializer_range: 0.02,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    tie_word_embeddings: false,
  };
  expect(JSON.parse(written("bare"))).toEqual({ ...common, num_key_value_heads: 3, torch_dtype: "float32" });
  expect(JSON.parse(written("whole"))).toEqual({ ...common, num_key_value_heads: 1, torch_dtype: "bfloat16" });
}, 120_000);

test("rows that are cut are told of once, unless that was asked for", async () => {
  const argv = [
    "llama-tied",
    "--data",
    "llama-tied.jsonl",
    "--max-length",
    "5",
    "--steps",
    "2",
    "-q",
    "--overwrite",
    "-o",
    "cut/",
  ];
  const { err } = await run("train", argv);
  expect(err).toMatch(
    /^train: warning: rows of more than 5 tokens are cut, the first is llama-tied.jsonl:1 with \d+; --overflow split keeps the rest\n$/,
  );
  expect((await run("train", [...argv, "--overflow", "truncate"])).err).toBe("");
  const evaluated = ["evaluate", ["llama-tied", "half", ...argv.slice(1, 5), "--metric", "loss", "-q"]] as const;
  expect((await run(...evaluated)).err.trim().split("\n")).toHaveLength(1);
}, 120_000);
