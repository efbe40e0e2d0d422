/** Runs of `train` that are interrupted or killed, and what continues them. */
import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startScript } from "../support/command.ts";
import { trainLab } from "./train-lab.ts";

const { at, folder, run } = trainLab();

describe("a run that was killed goes on as if it had not been", () => {
  const common = [
    "--data",
    "llama-tied.jsonl",
    "--batch-size",
    "2",
    "--steps",
    "24",
    "--accumulate",
    "2",
    "--lr",
    "0.01",
    "--save-every",
    "1",
    "-q",
  ];
  const runs: Record<string, { argv: string[]; out: string; result: (out: string) => string }> = {
    "into a folder": { argv: ["llama-tied"], out: "x/", result: (out) => join(out, "model.safetensors") },
    "into shards, with bf16 states": {
      argv: ["llama-tied", "--shards", "2", "--state-dtype", "bf16"],
      out: "x/",
      result: (out) => join(out, "model-00002-of-00002.safetensors"),
    },
    "into an adapter, with dropout": {
      argv: ["lora-base", "--lora", "--lora-rank", "3", "--lora-dropout", "0.1", "--data", "lora-basic.jsonl"],
      out: "x/",
      result: (out) => join(out, "adapter_model.safetensors"),
    },
    "into a folder, in steps that are learnt, gradients in f16": {
      argv: ["llama-tied", "--precision", "weights=int4-qat,gradients=f16", "--loss-scale-every", "3"],
      out: "x/",
      result: (out) => join(out, "model.safetensors"),
    },
    "into a file, packed, in bf16": {
      argv: ["llama-tied", "--pack", "--max-length", "48", "--dtype", "bf16"],
      out: "x.safetensors",
      result: (out) => out,
    },
  };
  /** All with INGOT_TEST_LONG=1; two otherwise. */
  const SHORT = ["into an adapter, with dropout", "into a file, packed, in bf16"];
  test.each(Object.keys(runs).filter((name) => process.env.INGOT_TEST_LONG === "1" || SHORT.includes(name)))(
    "%s",
    async (name) => {
      const { argv, out, result } = runs[name]!;
      const options = argv.includes("lora-basic.jsonl") ? common.slice(2) : common;
      const key = name.replaceAll(/\W+/g, "-");
      const whole = await run("train", [...argv, ...options, "-o", `${key}-whole-${out}`]);
      expect(whole.err).toBe("");
      const target = `${key}-cut-${out}`;
      const log = at(`${key}.log`);
      const random = (n: number) => Math.floor(n * Math.abs(Math.sin(key.length * 7.3 + n)));
      let kills = 0;
      for (let attempt = 0; attempt < 8; attempt++) {
        const child = startScript("train", [...argv, ...options, "-o", target, "--resume", "--log", log], folder);
        const goal = 1 + attempt * 3 + random(3);
        const steps = () =>
          existsSync(log)
            ? readFileSync(log, "utf8")
                .split("\n")
                .filter((line) => /^\{"event":"step".*\}$/.test(line))
            : [];
        const reached = () => steps().some((line) => JSON.parse(line).step >= goal);
        while (child.exitCode === null && !(attempt < 5 && reached())) await Bun.sleep(2);
        if (child.exitCode !== null) break;
        child.kill(9);
        await child.exited;
        kills++;
      }
      expect(kills).toBe(5);
      expect(readFileSync(at(result(target)))).toEqual(readFileSync(at(result(`${key}-whole-${out}`))));
      expect(readdirSync(folder).filter((file) => file.endsWith("-state"))).toEqual([]);
    },
    120_000,
  );

  test("out of a stream", async () => {
    const argv = ["llama-tied", "--data", "llama-tied.jsonl", "--batch-size", "2", "--steps", "6", "-q"];
    const plain = await run("train", [...argv]);
    expect(plain.code).toBe(0);
    const child = startScript(
      "train",
      [...argv, "--state", "stream-state", "--save-every", "2", "--log", "stream.log"],
      folder,
    );
    while (
      child.exitCode === null &&
      !(existsSync(at("stream.log")) && readFileSync(at("stream.log"), "utf8").includes('"step":3'))
    )
      await Bun.sleep(2);
    child.kill(9);
    await child.exited;
    const resumed = await run("train", [...argv, "--state", "stream-state", "--save-every", "2", "--resume"]);
    expect(resumed.err).toBe("");
    expect(resumed.out).toEqual(plain.out);
  }, 120_000);
});

test.each(["halted/", "halted-file.safetensors", "halted-ggml.gguf"])(
  "the first Ctrl-C saves beside %s, and says how to continue",
  async (out) => {
    const name = out.replace(/\W\w*$/, "");
    const options = ["--data", "llama-tied.jsonl", "--batch-size", "2", "--steps", "3000", "--log", `${name}.log`];
    const child = startScript("train", ["llama-tied", ...options, "-o", out], folder);
    const log = at(`${name}.log`);
    while (child.exitCode === null && !(existsSync(log) && readFileSync(log, "utf8").includes('"step":2,')))
      await Bun.sleep(5);
    child.kill("SIGINT");
    const err = await new Response(child.stderr).text();
    expect(await child.exited).toBe(130);
    expect(err).toMatch(new RegExp(`saved step \\d+ in ${name}-state; continue with --resume`));
    expect(existsSync(at(`${name}-state/last/training.json`))).toBe(true);
    expect(existsSync(at(out))).toBe(false);
  },
  60_000,
);

test("a run that was killed is neither overwritten nor gone on with from something else", async () => {
  cpSync(at("llama-tied"), at("swap"), { recursive: true });
  const rows = readFileSync(at("llama-tied.jsonl"), "utf8");
  writeFileSync(at("swap.jsonl"), rows);
  const argv = ["swap", "--data", "swap.jsonl", "--batch-size", "2", "--steps", "3000", "--save-every", "1"];
  const all = [...argv, "-o", "swapped/", "-q"];
  const child = startScript("train", [...all, "--log", "swap.log"], folder);
  while (!(existsSync(at("swap.log")) && readFileSync(at("swap.log"), "utf8").includes('"step":3,')))
    await Bun.sleep(5);
  child.kill(9);
  await child.exited;
  const saved = readFileSync(at("swapped-state/last/training.json"), "utf8");
  const anew = await run("train", all);
  expect(anew.err).toMatch(
    /^train: swapped-state holds step \d+ of a run that was not finished\n {2}hint: continue with --resume, or remove/,
  );
  expect(anew.code).toBe(2);
  expect((await run("train", [...all, "--resume", "--dry-run"])).code).toBe(0);
  const refused = async (message: string) => {
    const { err, code } = await run("train", [...all, "--resume"]);
    expect(err).toStartWith(message);
    expect(code).toBe(2);
  };
  // As many tokens, but others.
  writeFileSync(
    at("swap.jsonl"),
    rows.replace(/\[(\d+), ?(\d+)/, (_, a, b) => `[${b},${a}`),
  );
  await refused("train: swapped-state/last was saved with other data\n  hint: a run resumes on the data it began with");
  writeFileSync(at("swap.jsonl"), rows);
  await run("train", [...argv.slice(0, 5), "--steps", "2", "-q", "-o", "other.safetensors"]);
  cpSync(at("other.safetensors"), at("swap/model.safetensors"));
  await refused("train: swapped-state was saved by a run that read another swap\n  hint: put that one back, or remove");
  expect(readFileSync(at("swapped-state/last/training.json"), "utf8")).toBe(saved);
}, 120_000);

test("what is no saved state is not taken away for one", async () => {
  mkdirSync(at("mine/last"), { recursive: true });
  writeFileSync(at("mine/last/thesis.txt"), "all of it");
  writeFileSync(at("plain-file"), "");
  const argv = ["llama-tied", "--data", "llama-tied.jsonl", "--steps", "2", "-q", "-o", "thesis/", "--state"];
  const { err, code } = await run("train", [...argv, "mine"]);
  expect(err).toBe("train: mine/last exists but is not a saved training state\n  hint: give another --state DIR\n");
  expect(code).toBe(2);
  expect(readFileSync(at("mine/last/thesis.txt"), "utf8")).toBe("all of it");
  const below = await run("train", [...argv, "plain-file/state"]);
  expect(below.err).toStartWith("train: --state: plain-file/state cannot be written (ENOTDIR)\n  hint: give another");
  expect(below.code).toBe(1);
}, 120_000);
