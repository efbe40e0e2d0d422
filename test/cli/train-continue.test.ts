/** `train --lora-continue` on adapters that hold biases and saved modules: what is trained, kept and refused. */
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { startScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { trainLab } from "./train-lab.ts";

const { at, folder, run } = trainLab();
const P = "base_model.model.";
const DATA = ["--data", "llama-tied.jsonl", "--batch-size", "2", "--no-shuffle", "-q"];
const SGD = [
  ..."--optimizer sgd --momentum 0 --weight-decay 0 --lr 0.1 --schedule constant --dtype f32".split(" "),
  ...DATA,
];
const ONE = [...SGD, "--steps", "1"];

type Tensors = ReadonlyMap<string, Float32Array>;
type Shapes = Readonly<Record<string, readonly number[]>>;

/** A safetensors file of f32 tensors. */
function writeTensors(file: string, tensors: Tensors, shapes: Shapes): void {
  let end = 0;
  const header: Record<string, unknown> = {};
  for (const [name, { byteLength }] of tensors) {
    header[name] = { dtype: "F32", shape: shapes[name], data_offsets: [end, end + byteLength] };
    end += byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer);
  writeFileSync(file, Buffer.concat([length, text, ...tensors.values()].map((part) => new Uint8Array(part.buffer))));
}

function shapesOf(file: string): Record<string, readonly number[]> {
  const bytes = readFileSync(file);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString());
  return Object.fromEntries(
    Object.entries<{ shape: number[] }>(header).flatMap(([name, { shape }]) => (shape ? [[name, shape]] : [])),
  );
}

/** Copies the adapter `lora` with fields of its config, without some tensors and with others. */
async function adapt(name: string, fields: object, more: Readonly<Record<string, readonly number[]>>, base: Tensors) {
  const file = at("lora/adapter_model.safetensors");
  const tensors = new Map(await tensorsOf(file));
  const shapes = shapesOf(file);
  for (const [key, shape] of Object.entries(more)) {
    const plain = key.slice(P.length).replace(".base_layer", "");
    const size = shape.reduce((a, b) => a * b, 1);
    const own = base.get(plain) ?? new Float32Array(size);
    tensors.set(
      key,
      own.map((value, i) => value + 0.1 * Math.sin(1 + i)),
    );
    shapes[key] = shape;
  }
  mkdirSync(at(name), { recursive: true });
  writeTensors(at(`${name}/adapter_model.safetensors`), tensors, shapes);
  const config = JSON.parse(readFileSync(at("lora/adapter_config.json"), "utf8"));
  writeFileSync(at(`${name}/adapter_config.json`), JSON.stringify({ ...config, ...fields }));
}

const adapterOf = (name: string) => tensorsOf(at(`${name}/adapter_model.safetensors`));
const configOf = (name: string) => JSON.parse(readFileSync(at(`${name}/adapter_config.json`), "utf8"));
const apart = (a: Float32Array, b: Float32Array) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

const ATTENTION = [0, 1].map((layer) => `transformer.h.${layer}.attn.c_attn`);
const OTHERS = [0, 1].flatMap((layer) =>
  ["ln_1", "ln_2", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"].map((module) => `transformer.h.${layer}.${module}`),
);
/** PEFT's names of the biases of GPT-2: of adapted layers below `base_layer`. */
const BIASES: Shapes = {
  ...Object.fromEntries(ATTENTION.map((module) => [`${P}${module}.base_layer.bias`, [72]])),
  ...Object.fromEntries(
    [...OTHERS, "transformer.ln_f"].map((module) => [`${P}${module}.bias`, [module.endsWith("c_fc") ? 96 : 24]]),
  ),
};
const HEAD: Shapes = { [`${P}lm_head.weight`]: [50, 24] };
const C: Shapes = Object.fromEntries(ATTENTION.map((module) => [`${P}${module}.lora_B.bias`, [72]]));
let base: Tensors;

beforeAll(async () => {
  writeFileSync(at("gpt2.json"), JSON.stringify({ ...TINY_TEXT.gpt2, tie_word_embeddings: false }));
  const made = await run("train", ["--init", at("gpt2.json"), ...ONE, "-o", "base/"]);
  expect(made.err).toBe("");
  base = await tensorsOf(at("base/model.safetensors"));
  const lora = ["--lora", "--lora-rank", "2", "--lora-targets", "c_attn"];
  expect((await run("train", ["base", ...lora, ...ONE, "-o", "lora/"])).err).toBe("");
  await adapt(
    "all",
    { bias: "all", modules_to_save: ["lm_head"], lora_bias: true },
    { ...BIASES, ...HEAD, ...C },
    base,
  );
}, 120_000);

test("a rate too small to move a value gives back every tensor under its name, and the config", async () => {
  const still = ONE.map((word, i) => (ONE[i - 1] === "--lr" ? "1e-30" : word));
  const done = await run("train", ["base+all", "--lora-continue", ...still, "-o", "same/"]);
  expect(done.err).toBe("");
  const [before, after] = [await adapterOf("all"), await adapterOf("same")];
  expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
  for (const [name, values] of after) expect([name, values]).toEqual([name, before.get(name)!]);
  expect(shapesOf(at("same/adapter_model.safetensors"))).toEqual(shapesOf(at("all/adapter_model.safetensors")));
  expect(configOf("same")).toEqual(configOf("all"));
}, 120_000);

test("a step on biases and saved modules is that of the whole model with only those unfrozen", async () => {
  expect((await run("merge", ["base+all", "--method", "passthrough", "-q", "-o", "merged/"])).err).toBe("");
  const only = ["--train-only", "*.bias", "--train-only", "lm_head.weight"];
  expect((await run("train", ["merged", ...only, ...ONE, "-o", "whole/"])).err).toBe("");
  expect((await run("train", ["base+all", "--lora-continue", ...ONE, "-o", "on/"])).err).toBe("");
  const [from, to] = [await tensorsOf(at("merged/model.safetensors")), await tensorsOf(at("whole/model.safetensors"))];
  const [before, after] = [await adapterOf("all"), await adapterOf("on")];
  const step = (a: Tensors, b: Tensors, name: string) => b.get(name)!.map((x, i) => x - a.get(name)![i]!);
  for (const name of [...Object.keys(BIASES), ...Object.keys(HEAD)]) {
    const expected = step(from, to, name.slice(P.length).replace(".base_layer", ""));
    const most = expected.reduce((top, x) => Math.max(top, Math.abs(x)), 0);
    expect(most).toBeGreaterThan(1e-4);
    expect(apart(step(before, after, name), expected)).toBeLessThan(1e-6 + 1e-4 * most);
  }
  // y = s c + ..., so the gradient of c is s times that of the layer's bias.
  const { lora_alpha, r } = configOf("all");
  for (const module of ATTENTION) {
    const expected = step(from, to, `${module}.bias`).map((x) => (x * lora_alpha) / r);
    const most = expected.reduce((top, x) => Math.max(top, Math.abs(x)), 0);
    expect(apart(step(before, after, `${P}${module}.lora_B.bias`), expected)).toBeLessThan(1e-5 + 1e-4 * most);
    expect(apart(before.get(`${P}${module}.lora_A.weight`)!, after.get(`${P}${module}.lora_A.weight`)!)).not.toBe(0);
  }
}, 120_000);

test("the loss at the first step is that of the adapted base, and the result is read again", async () => {
  const log = at("loss.log");
  const first = ["--data", "llama-tied-first.jsonl", "--batch-size", "2", "-q"];
  const line = ["--lora-continue", "--steps", "1", "--schedule", "constant", ...first];
  expect((await run("train", ["base+all", ...line, "--log", log, "-o", "again/"])).err).toBe("");
  const lossOf = async (model: string): Promise<number> => {
    const measured = await run("evaluate", [model, "--metric", "loss", "--json", ...first]);
    expect(measured.err).toBe("");
    return JSON.parse(measured.text.trimEnd().split("\n").at(-1)!).loss;
  };
  const losses = [await lossOf("base+all"), await lossOf("base+again")] as const;
  const step = readFileSync(log, "utf8")
    .split("\n")
    .find((text) => text.includes('"event":"step"'))!;
  expect(Math.abs(JSON.parse(step).loss - losses[0])).toBeLessThan(2e-6 * losses[0]);
  expect(losses[1]).toBeLessThan(losses[0]);
}, 120_000);

test("a run that was killed goes on to the same bytes", async () => {
  const line = ["base+all", "--lora-continue", ...DATA, "--steps", "8", "--save-every", "1"];
  expect((await run("train", [...line, "-o", "straight/"])).err).toBe("");
  const child = startScript("train", [...line, "-o", "cut/", "--log", at("cut.log")], folder);
  const reached = () => existsSync(at("cut.log")) && readFileSync(at("cut.log"), "utf8").includes('"step":3');
  while (child.exitCode === null && !reached()) await Bun.sleep(2);
  child.kill(9);
  await child.exited;
  expect((await run("train", [...line, "-o", "cut/", "--resume"])).err).toBe("");
  const file = "adapter_model.safetensors";
  expect(readFileSync(at(`cut/${file}`)).equals(readFileSync(at(`straight/${file}`)))).toBe(true);
}, 120_000);

test("the teacher self is the base with its own biases and head", async () => {
  const line = ["--method", "kd", "--student", "base+all", "--lora-continue", ...ONE];
  for (const teacher of ["self", "base"])
    expect((await run("distill", ["--teacher", teacher, ...line, "-o", `taught-${teacher}/`])).err).toBe("");
  expect(await adapterOf("taught-self")).toEqual(await adapterOf("taught-base"));
  expect((await adapterOf("taught-self")).get(`${P}lm_head.weight`)).not.toEqual(base.get("lm_head.weight"));
}, 120_000);

test("--dry-run counts them", async () => {
  const argv = ["base+all", "--lora-continue", ...DATA, "--steps", "1", "-o", "dry/", "-n", "--json"];
  const plan = JSON.parse((await run("train", argv)).text);
  const held = [...(await adapterOf("all")).values()].reduce((sum, { length }) => sum + length, 0);
  expect(plan.parameters.trainable).toBe(held);
  expect(plan.memory.gradients).toBe(4 * held);
}, 120_000);

describe("what is trained follows the config", () => {
  test("biases that the file lacks begin as the base's, under PEFT's names", async () => {
    await adapt("bare", { bias: "lora_only" }, {}, base);
    expect((await run("train", ["base+bare", "--lora-continue", ...ONE, "-o", "bare-on/"])).err).toBe("");
    const [before, after] = [await adapterOf("bare"), await adapterOf("bare-on")];
    const added = [...after.keys()].filter((name) => !before.has(name));
    expect(added).toEqual(ATTENTION.map((module) => `${P}${module}.base_layer.bias`));
    for (const module of ATTENTION) {
      const moved = apart(after.get(`${P}${module}.base_layer.bias`)!, base.get(`${module}.bias`)!);
      expect(moved).toBeGreaterThan(1e-5);
      expect(moved).toBeLessThan(0.3);
    }
  }, 120_000);

  test("a vocabulary that is only kept is used and saved, not trained", async () => {
    await adapt("kept", {}, HEAD, base);
    const { err } = await run("train", ["base+kept", "--lora-continue", ...ONE, "-o", "kept-on/"]);
    expect(err).toBe(
      "train: warning: kept: lm_head.weight is kept as it is, since adapter_config.json does not train it\n",
    );
    const [before, after] = [await adapterOf("kept"), await adapterOf("kept-on")];
    const name = `${P}lm_head.weight`;
    expect(after.get(name)!).toEqual(before.get(name)!);
  }, 120_000);

  test("a lora_B bias of a layer without a bias is trained, and told", async () => {
    const file = at("lora-basic/adapter_model.safetensors");
    const [tensors, shapes] = [new Map(await tensorsOf(file)), shapesOf(file)];
    const module = "model.layers.1.self_attn.q_proj";
    const key = `${P}${module}.lora_B.bias`;
    tensors.set(key, new Float32Array(32));
    mkdirSync(at("unbiased"));
    writeTensors(at("unbiased/adapter_model.safetensors"), tensors, { ...shapes, [key]: [32] });
    writeFileSync(at("unbiased/adapter_config.json"), JSON.stringify(configOf("lora-basic")));
    const line = [
      "lora-base+unbiased",
      "--lora-continue",
      ...ONE.map((word) => word.replace("llama-tied", "lora-basic")),
    ];
    const { err } = await run("train", [...line, "-o", "unbiased-on/"]);
    expect(err).toContain(`has a lora_B bias for ${module}, a layer without a bias`);
    expect((await adapterOf("unbiased-on")).get(key)!.some((x) => x !== 0)).toBe(true);
  }, 120_000);

  test("lora_alpha 0 is told", async () => {
    await adapt("zero", { lora_alpha: 0 }, {}, base);
    const { err } = await run("train", ["base+zero", "--lora-continue", ...ONE, "-o", "zero-on/"]);
    expect(err).toContain("lora_alpha is 0 in adapter_config.json");
  }, 120_000);
});

describe("refused, with exit code 2", () => {
  const refusals: Readonly<Record<string, [base: string, fields: object, more: Shapes, message: string]>> = {
    "a saved module without its tensor": [
      "base",
      { modules_to_save: ["lm_head"] },
      {},
      "trains lm_head.weight by its adapter_config.json, but has no tensor for it",
    ],
    "lora_bias without its tensors": ["base", { lora_bias: true }, {}, "has no lora_B bias"],
    "another vocabulary": [
      "base",
      { modules_to_save: ["lm_head"] },
      { [`${P}lm_head.weight`]: [51, 24] },
      "lm_head.weight is (51, 24), but lm_head.weight in the base is (50, 24)",
    ],
    "a module that the base lacks": [
      "base",
      { modules_to_save: ["score"] },
      { [`${P}score.weight`]: [2, 24] },
      "changes score.weight, which is no weight of this model",
    ],
    "the head of a tied base": ["tied", { modules_to_save: ["lm_head"] }, HEAD, "unties the head of the base"],
    "the embedding of a tied base": [
      "tied",
      { modules_to_save: ["wte"] },
      { [`${P}transformer.wte.weight`]: [50, 24] },
      "unties the head of the base",
    ],
  };
  beforeAll(async () => {
    writeFileSync(at("tied.json"), JSON.stringify(TINY_TEXT.gpt2));
    expect((await run("train", ["--init", at("tied.json"), ...ONE, "-o", "tied/"])).err).toBe("");
  }, 120_000);
  test.each(Object.keys(refusals))(
    "%s",
    async (name) => {
      const [model, fields, more, message] = refusals[name]!;
      await adapt("refused", fields, more, new Map());
      const argv = [`${model}+refused`, "--lora-continue", ...ONE, "-o", "refused-on/"];
      const { err, code } = await run("train", argv);
      expect(err).toContain(message);
      expect(code).toBe(2);
      expect(existsSync(at("refused-on"))).toBe(false);
    },
    60_000,
  );
});
