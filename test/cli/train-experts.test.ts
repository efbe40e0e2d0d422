/** `train --lora` on routed experts and embeddings: what is written, read back, continued and merged. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { startScript } from "../support/command.ts";
import { TINY_DECODERS, TINY_EXPERTS } from "../support/tiny-models.ts";
import { trainLab } from "./train-lab.ts";

const { at, folder, run } = trainLab();
const DATA = "--data llama-tied.jsonl --batch-size 2 --no-shuffle -q --dtype f32".split(" ");
const P = "base_model.model.model.layers.1";

const cases = {
  olmoe: {
    json: TINY_EXPERTS.olmoe!,
    targets: "all-linear,embed_tokens",
    a: [`${P}.mlp.experts.2.gate_proj.lora_A.weight`, `${P}.mlp.gate.lora_B.weight`],
    modules: ["down_proj", "embed_tokens", "gate", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
    parameters: undefined,
  },
  gpt_oss: {
    json: TINY_DECODERS.gpt_oss!,
    targets: "experts.gate_up_proj,experts.down_proj",
    a: [`${P}.mlp.experts.base_layer.lora_A.weight`, `${P}.mlp.experts.lora_B.weight`],
    modules: null,
    parameters: ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"],
  },
};

test.each(Object.entries(cases))(
  "%s",
  async (name, { json, targets, a, modules, parameters }) => {
    writeFileSync(at(`${name}.json`), JSON.stringify({ ...json, vocab_size: 64 }));
    const train = (...argv: string[]) => run("train", [...argv, ...DATA]);
    expect((await train("--init", at(`${name}.json`), "--steps", "1", "-o", `${name}/`)).code).toBe(0);
    const lora = ["--lora", "--lora-rank", "3", "--lora-targets", targets, "--lr", "0.02"];
    const done = await train(name, ...lora, "--steps", "4", "-o", `${name}-a/`);
    expect([done.code, done.err]).toEqual([0, ""]);
    const tensors = await tensorsOf(at(`${name}-a/adapter_model.safetensors`));
    for (const key of a) expect(tensors.get(key)?.some((x) => x !== 0)).toBe(true);
    const config = JSON.parse(readFileSync(at(`${name}-a/adapter_config.json`), "utf8"));
    expect([config.target_modules, config.target_parameters]).toEqual([modules, parameters]);

    // Beside its base it is what it is merged into it.
    expect((await run("merge", [`${name}+${name}-a`, "--method", "passthrough", "-q", "-o", `${name}-m/`])).code).toBe(
      0,
    );
    const { out, code } = await run("evaluate", [
      ...[name, `${name}+${name}-a`, `${name}-m`, "--metric", "loss", "--json"],
      ...["--data", "llama-tied.jsonl", "-q"],
    ]);
    expect(code).toBe(0);
    const { rows } = JSON.parse(new TextDecoder().decode(out));
    const losses: number[] = rows.map(({ value }: { value: number }) => value);
    expect(losses).toHaveLength(3);
    const [before, beside, merged] = losses;
    expect(Math.abs(beside! - merged!)).toBeLessThan(1e-5);
    expect(beside).toBeLessThan(before! - 0.05);

    // A rate too small to move a value gives back every tensor.
    const still = await train(
      `${name}+${name}-a`,
      "--lora-continue",
      "--lr",
      "1e-30",
      "--steps",
      "1",
      "-o",
      `${name}-b/`,
    );
    expect([still.code, still.err]).toEqual([0, ""]);
    expect(await tensorsOf(at(`${name}-b/adapter_model.safetensors`))).toEqual(tensors);
  },
  60_000,
);

test("what PEFT has no adapter for is refused before work", async () => {
  writeFileSync(at("o.json"), JSON.stringify({ ...TINY_DECODERS.gpt_oss!, vocab_size: 64 }));
  expect((await run("train", ["--init", at("o.json"), ...DATA, "--steps", "1", "-o", "o/"])).code).toBe(0);
  const refused = async (...argv: string[]) => {
    const { code, err } = await run("train", ["o", ...DATA, "--lora", ...argv, "--steps", "1", "-o", "x/"]);
    return [code, err];
  };
  expect(await refused("--lora-targets", "experts.down_proj", "--lora-dropout", "0.1")).toEqual([
    2,
    "train: model.layers.0.mlp.experts.down_proj is one parameter, and PEFT adapts parameters without dropout\n  hint: leave out --lora-dropout\n",
  ]);
  expect(await refused("--lora-targets", "embed_tokens", "--dora")).toEqual([
    2,
    "train: --dora does not adapt model.embed_tokens: it is for linear layers other than routed experts\n  hint: leave out --dora, or choose --lora-targets\n",
  ]);
}, 120_000);

const BIAS = "--moe-balance bias --bias-step 0.01 --accumulate 2 --save-every 1 --data llama-tied.jsonl".split(" ");
/** A new mixture whose router has a bias of the choice. */
function glm(): string[] {
  writeFileSync(at("glm.json"), JSON.stringify({ ...TINY_DECODERS.glm4_moe!, vocab_size: 64 }));
  return ["--init", at("glm.json"), "--batch-size", "2", "--steps", "8", ...BIAS];
}

test("biases of the choice move and are kept in the checkpoint; adapters leave them out", async () => {
  expect((await run("train", [...glm(), "-q", "-o", "glm-whole/"])).code).toBe(0);
  const tensors = await tensorsOf(at("glm-whole/model.safetensors"));
  const bias = tensors.get("model.layers.1.mlp.gate.e_score_correction_bias")!;
  expect(bias.every((x) => Math.abs(x) <= 0.07 + 1e-6)).toBe(true); // seven of eight steps move it
  expect(bias.filter((x) => x !== 0).length).toBeGreaterThan(1);
  const lora = await run("train", ["glm-whole", ...BIAS, "--lora", "--dry-run"]);
  expect(lora.err).toContain("--moe-balance bias moves weights of the base, which an adapter leaves out");
});

test.skipIf(process.env.INGOT_TEST_LONG !== "1")(
  "a run with biases that was killed goes on as if it had not been",
  async () => {
    const argv = glm();
    expect((await run("train", [...argv, "-q", "-o", "glm-uncut/"])).code).toBe(0);
    const child = startScript("train", [...argv, "-q", "-o", "glm-cut/", "--resume", "--log", at("glm.log")], folder);
    const steps = () =>
      existsSync(at("glm.log")) ? readFileSync(at("glm.log"), "utf8").match(/"event":"step"/g) : null;
    while (child.exitCode === null && (steps()?.length ?? 0) < 3) await Bun.sleep(2);
    child.kill(9);
    await child.exited;
    const resumed = await run("train", [...argv, "-o", "glm-cut/", "--resume"]);
    expect(resumed.err).toContain("experts: balanced by a bias of the choice");
    expect(resumed.err).toContain("continuing after step");
    expect(readFileSync(at("glm-cut/model.safetensors"))).toEqual(readFileSync(at("glm-uncut/model.safetensors")));
  },
  120_000,
);
