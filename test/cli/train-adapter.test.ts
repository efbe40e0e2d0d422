/** `train --adapter`: what is written, read again, continued, resumed, merged and refused. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { openPlain } from "../../src/checkpoint/open.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { trainLab } from "./train-lab.ts";

const { at, run } = trainLab();
const DATA = "--data llama-tied.jsonl --batch-size 2 --no-shuffle -q".split(" ");
const SGD = "--optimizer sgd --momentum 0 --weight-decay 0 --lr 0.5 --schedule constant --dtype f32".split(" ");
const TRAIN = ["llama-tied", "--adapter", "ia3", ...SGD, ...DATA];

const said = async (name: string, argv: readonly string[]) => {
  const { code, text, err } = await run(name, argv);
  return [code, text + err] as const;
};

const good = async (name: string, argv: readonly string[]): Promise<string> => {
  const { code, text, err } = await run(name, argv);
  expect([code, err]).toEqual([0, err]);
  return text === "" ? err : text;
};

test("IA3 is written as PEFT does, and learns", async () => {
  await good("train", [...TRAIN, "--steps", "4", "-o", "whole/"]);
  const config = JSON.parse(readFileSync(at("whole/adapter_config.json"), "utf8"));
  expect(config).toMatchObject({
    peft_type: "IA3",
    target_modules: ["down_proj", "k_proj", "v_proj"],
    feedforward_modules: ["down_proj"],
    fan_in_fan_out: false,
    init_ia3_weights: true,
    task_type: "CAUSAL_LM",
  });
  const opened = await openPlain(at("whole"));
  const layer = [...opened.tensors.values()].filter(({ name }) => name.includes("layers.0."));
  expect(layer.map(({ name, shape }) => [name.replace("base_model.model.model.layers.0.", ""), shape.join()])).toEqual([
    ["self_attn.k_proj.ia3_l", "8,1"],
    ["self_attn.v_proj.ia3_l", "8,1"],
    ["mlp.down_proj.ia3_l", "1,40"],
  ]);
  opened.close();
  for (const values of (await tensorsOf(at("whole"))).values()) expect(values.some((x) => x !== 1)).toBe(true);
}, 120_000);

test("the base with it evaluates as its merge does, and both better than the base", async () => {
  const loss = async (ref: string) => {
    const text = await good("evaluate", [ref, "--data", "llama-tied.jsonl", "--dtype", "f32", "--json", "-q"]);
    return JSON.parse(text).loss as number;
  };
  await good("merge", ["llama-tied+whole", "--method", "passthrough", "--dtype", "f32", "-o", "flat/", "-q"]);
  const [base, live, flat] = [await loss("llama-tied"), await loss("llama-tied+whole"), await loss("flat")];
  expect(live).toBeLessThan(base - 1e-3);
  expect(Math.abs(live - flat)).toBeLessThan(1e-5);
}, 120_000);

test("a run that resumes, and one that continues, go on where it was", async () => {
  const half = [...TRAIN, "--save-every", "2", "--state", "state"];
  await good("train", [...half, "--steps", "2", "-o", "half/"]);
  await good("train", ["llama-tied+half", "--lora-continue", ...SGD, ...DATA, "--steps", "1", "-o", "more/"]);
  const [first, second] = [await tensorsOf(at("half")), await tensorsOf(at("more"))];
  expect([...second.keys()]).toEqual([...first.keys()]);
  for (const [name, values] of second) expect(values).not.toEqual(first.get(name)!);
  expect(readFileSync(at("more/adapter_config.json"), "utf8")).toBe(
    readFileSync(at("half/adapter_config.json"), "utf8"),
  );
}, 120_000);

test("a dry run tells the memory that a run takes", async () => {
  const memory = JSON.parse(await good("train", [...TRAIN, "--steps", "1", "--dry-run", "--json"])).memory;
  const told = (await good("train", [...TRAIN.filter((one) => one !== "-q"), "--steps", "1", "-o", "one/"])).match(
    /GPU memory: (.*)/,
  )![1]!;
  expect(memory.weights).toBeGreaterThan(0);
  const again = (await good("train", [...TRAIN, "--steps", "1", "--dry-run"])).match(/GPU memory: (.*)/)![1]!;
  expect(again).toBe(told);
}, 120_000);

test("--adapter lora is --lora", async () => {
  const more = ["--lora-rank", "3", "--steps", "1", ...SGD, ...DATA];
  await good("train", ["llama-tied", "--lora", ...more, "-o", "short/"]);
  await good("train", ["llama-tied", "--adapter", "lora", ...more, "-o", "long/"]);
  expect(await tensorsOf(at("long"))).toEqual(await tensorsOf(at("short")));
  for (const [dora, rslora] of [["dora", "rslora"]])
    for (const [name, key] of [
      [dora, "use_dora"],
      [rslora, "use_rslora"],
    ] as const) {
      await good("train", ["llama-tied", "--adapter", name!, ...more, "-o", `as-${name}/`]);
      expect(JSON.parse(readFileSync(at(`as-${name}/adapter_config.json`), "utf8"))[key]).toBe(true);
    }
}, 90_000);

test.each([
  [["--adapter", "ia3", "--lora"], "--lora and --adapter ia3 both name an adapter"],
  [["--adapter", "ia3", "--lora-rank", "4"], "--lora-rank has no effect without"],
  [["--adapter", "ia4"], "did you mean ia3?"],
  [["--adapter", "ia3", "--adapter-targets", "nothing"], "--adapter-targets nothing matches no linear layer"],
  [["--adapter", "ia3", "--adapter-targets", "embed_tokens"], "IA3 does not adapt model.embed_tokens"],
  [["--adapter", "ia3", "--freeze", "*"], "--freeze and --train-only have no effect on an adapter"],
  [["--adapter", "ia3", "-o", "x.gguf"], "GGUF files hold adapters of the type LoRA alone"],
] as const)("refuses %j", async (more, message) => {
  const out = (more as readonly string[]).includes("-o") ? [] : ["-o", "bad/"];
  const [code, text] = await said("train", ["llama-tied", ...SGD, ...DATA, "--steps", "1", ...more, ...out]);
  expect([code, text]).toEqual([2, expect.stringContaining(message)]);
});

test("an adapter of another base is refused, and so is one with strange tensors", async () => {
  const [code, text] = await said("evaluate", ["lora-base+whole", "--data", "llama-tied.jsonl"]);
  expect([code, text]).toEqual([2, expect.stringMatching(/whole.*(expected|does not have)/)]);
  const combined = await said("adapt", ["combine", "whole", "whole", "--method", "linear", "-o", "bad/"]);
  expect(combined).toEqual([2, expect.stringContaining("is an adapter of the kind IA3")]);
});

test("a type that does not fold is run beside its base, and trained further, but not merged", async () => {
  const how = ["--bottleneck", "4", ...SGD, ...DATA, "--steps", "2"];
  await good("train", ["llama-tied", "--adapter", "bottleneck", ...how, "-o", "narrow/"]);
  const json = await good("evaluate", ["llama-tied+narrow", "--data", "llama-tied.jsonl", "--json", "-q"]);
  const base = await good("evaluate", ["llama-tied", "--data", "llama-tied.jsonl", "--json", "-q"]);
  expect(JSON.parse(json).loss).toBeLessThan(JSON.parse(base).loss);
  await good("train", ["llama-tied+narrow", "--lora-continue", ...SGD, ...DATA, "--steps", "1", "-o", "narrower/"]);
  const merged = await said("merge", ["llama-tied+narrow", "--method", "passthrough", "-o", "bad/"]);
  expect(merged).toEqual([
    2,
    expect.stringContaining("narrow is Bottleneck adapters, whose change depends on the input"),
  ]);
  const stacked = await said("evaluate", ["llama-tied+narrow+whole", "--data", "llama-tied.jsonl"]);
  expect(stacked[0]).toBe(2);
}, 120_000);
