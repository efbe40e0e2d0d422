/** What `train` refuses before any work. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { startScript } from "../support/command.ts";
import { trainLab } from "./train-lab.ts";

const { at, folder, run } = trainLab();

describe("refusals", () => {
  test.each([
    [["llama-tied"], "train: --data is missing\n"],
    [["--data", "llama-tied.jsonl", "--init", "llama-tied/config.json", "llama-tied"], "say what to train"],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--momentum", "0.5"],
      "train: adamw has no option --momentum\n  hint: optimizers with --momentum: muon, sgd\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--lora", "--lora-targets", "q_prj"],
      "train: --lora-targets q_prj matches no linear layer of this model\n  hint: there are down_proj",
    ],
    [
      ["lora-base+lora-basic", "--data", "lora-basic.jsonl", "--lora-continue", "--lora-rank", "3"],
      "train: --lora-rank has no effect without --lora, --adapter lora, rslora, dora or allora\n  hint: give both or neither",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--lora-rank", "3"],
      "train: --lora-rank has no effect without --lora, --adapter lora, rslora, dora or allora\n  hint: give both or neither\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--freeze", "nothing*"],
      "train: --freeze nothing* matches no weight of llama-tied\n  hint: names are like model.embed_tokens.weight",
    ],
    [
      ["lora-base+lora-basic", "--lora-continue", "--data", "lora-basic.jsonl", "--overwrite", "-o", "llama-tied"],
      "train: llama-tied holds a model (config.json), and this is an adapter\n  hint: name another folder",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--overwrite", "-o", "lora-basic"],
      "train: lora-basic holds an adapter (adapter_config.json), and this is a model\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--eval-data", "lost.jsonl", "--dry-run"],
      "train: lost.jsonl does not exist\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--best", "best/"],
      "train: --best has no effect without --eval-data or --eval-split\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--eval-data", "llama-tied.jsonl", "--best", "refused"],
      "train: --best and --out both name refused\n",
    ],
    [["llama-tied", "--data", "llama-tied.jsonl", "--lr", "1e400"], "train: --lr: expected"],
    [["llama-tied", "--data", "llama-tied.jsonl", "--freeze", "*"], "train: every weight is frozen\n"],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--steps", "2", "--epochs", "1"],
      "train: both --steps and --epochs say how long to train\n  hint: give one of them\n",
    ],
  ])(
    "%j",
    async (argv, message) => {
      const { err, code } = await run("train", argv.includes("-o") ? argv : [...argv, "-o", "refused/"]);
      expect(err).toContain(message);
      expect(code).toBe(2);
      expect(existsSync(at("refused"))).toBe(false);
    },
    30_000,
  );

  test("a token outside the vocabulary is named with its row", async () => {
    writeFileSync(at("wide.jsonl"), '{"input_ids": [1, 2, 50]}\n');
    const { err, code } = await run("train", ["llama-tied", "--data", "wide.jsonl", "-o", "refused/"]);
    expect(err).toContain("wide.jsonl:1: token 50 is outside the model's vocabulary of 50");
    expect(code).toBe(2);
  });

  test.each([
    [{ num_hidden_layers: 1e9 }, "num_hidden_layers must be at most 1000; it is 1000000000"],
    [{ rope_theta: 0 }, "rope_theta must be a number above 0; it is 0"],
    [{ rms_norm_eps: -1 }, "rms_norm_eps must be a number of at least 0; it is -1"],
    [{ hidden_size: 2 ** 24, intermediate_size: 2 ** 24, num_attention_heads: 2 ** 22, head_dim: 4 }, "of memory"],
  ])("a new model of %j", async (more, message) => {
    const config = JSON.parse(readFileSync(at("llama-tied/config.json"), "utf8"));
    writeFileSync(at("hostile.json"), JSON.stringify({ ...config, num_key_value_heads: 1, ...more }));
    const { code, err } = await run("train", ["--init", "hostile.json", "--data", "llama-tied.jsonl", "-o", "none/"]);
    expect([code, err.includes(message)]).toEqual([2, true]);
    expect(existsSync(at("none"))).toBe(false);
  });

  test("a loss that is not finite stops the run and leaves the weights before it", async () => {
    const { err, code } = await run("train", [
      "llama-tied",
      "--data",
      "llama-tied.jsonl",
      "--batch-size",
      "2",
      "--steps",
      "20",
      "--lr",
      "1e30",
      "--optimizer",
      "sgd",
      "-o",
      "refused/",
      "-q",
    ]);
    expect(err).toMatch(/train: step \d+: .* NaN, on .*llama-tied.jsonl:\d+.*; largest gradients: /);
    expect(code).toBe(1);
    expect(existsSync(at("refused"))).toBe(false);
  }, 120_000);

  test("resuming with other settings", async () => {
    const argv = [
      "llama-tied",
      "--data",
      "llama-tied.jsonl",
      "--batch-size",
      "2",
      "--steps",
      "3000",
      "-o",
      "other/",
      "--log",
      "other.log",
      "--save-every",
      "1",
    ];
    const child = startScript("train", argv, folder);
    while (!(existsSync(at("other.log")) && readFileSync(at("other.log"), "utf8").includes('"step":3,')))
      await Bun.sleep(5);
    child.kill(9);
    await child.exited;
    const { err, code } = await run("train", [...argv, "--resume", "--lr", "0.5"]);
    expect(err).toContain("train: other-state was saved with lr 0.001; this run has 0.5\n");
    expect(code).toBe(2);
  }, 120_000);
});
