import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { runScript, runShell, startScript } from "../support/command.ts";

const GOLDEN = fileURLToPath(new URL("../golden/train/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "ingot-train-"));
const at = (name: string) => join(folder, name);
const run = (name: string, argv: readonly string[]) => runScript(name, argv, folder);
const GOLDEN_OPTIONS =
  "--batch-size 2 --steps 3 --no-shuffle --optimizer adamw --lr 0.002 --beta1 0.9 --beta2 0.95 --eps 1e-5 --weight-decay 0.1 --decay-all --schedule constant --dtype f32".split(
    " ",
  );

async function tensorsOf(file: string): Promise<Map<string, Float32Array>> {
  const opened = await openPlain(file);
  const found = new Map<string, Float32Array>();
  for (const entry of opened.tensors.values()) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(entry.name, decodeFloats(bytes, entry.dtype));
  }
  opened.close();
  return found;
}

beforeAll(() => {
  for (const name of ["llama-tied", "lora-base", "lora-basic"])
    cpSync(join(GOLDEN, name), at(name), { recursive: true });
  for (const name of ["llama-tied", "lora-basic"]) {
    const { batches } = JSON.parse(readFileSync(join(GOLDEN, name, "case.json"), "utf8"));
    const rows = batches.flatMap(({ input_ids, labels }: { input_ids: number[][]; labels: number[][] }) =>
      input_ids.map((ids, i) => JSON.stringify({ input_ids: ids, labels: labels[i] })),
    );
    writeFileSync(at(`${name}.jsonl`), `${rows.join("\n")}\n`);
    writeFileSync(at(`${name}-first.jsonl`), `${rows.slice(0, 2).join("\n")}\n`);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

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
    "into a file, packed, in bf16": {
      argv: ["llama-tied", "--pack", "--max-length", "48", "--dtype", "bf16"],
      out: "x.safetensors",
      result: (out) => out,
    },
  };
  test.each(Object.keys(runs))(
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
  }, 60_000);
});

test("the first Ctrl-C saves, and says how to continue", async () => {
  const argv = [
    "llama-tied",
    "--data",
    "llama-tied.jsonl",
    "--batch-size",
    "2",
    "--steps",
    "3000",
    "-o",
    "interrupted/",
    "--log",
    "interrupted.log",
  ];
  const child = startScript("train", argv, folder);
  while (!(existsSync(at("interrupted.log")) && readFileSync(at("interrupted.log"), "utf8").includes('"step":2,')))
    await Bun.sleep(5);
  child.kill("SIGINT");
  const err = await new Response(child.stderr).text();
  expect(await child.exited).toBe(130);
  expect(err).toMatch(/saved step \d+ in interrupted-state; continue with --resume/);
  expect(existsSync(at("interrupted-state/last/training.json"))).toBe(true);
  expect(existsSync(at("interrupted"))).toBe(false);
}, 60_000);

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
}, 60_000);

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
}, 60_000);

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
}, 30_000);

test("a schedule that never reaches the rate warns", async () => {
  const argv = ["llama-tied", "--data", "llama-tied.jsonl", "--steps", "4", "-q", "-o", "slow/"];
  const { err } = await run("train", [...argv, "--warmup", "8"]);
  expect(err).toBe(
    "train: warning: the cosine schedule reaches 50 % of --lr 0.001 at most in 4 steps; train longer, or shorten its phases\n",
  );
  expect((await run("train", [...argv, "--warmup", "2"])).err).toBe("");
}, 30_000);

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
}, 30_000);

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
}, 60_000);

test("an adapter goes on with its own dropout", async () => {
  const config = JSON.parse(readFileSync(at("lora-basic/adapter_config.json"), "utf8"));
  cpSync(at("lora-basic"), at("lora-dropout"), { recursive: true });
  writeFileSync(at("lora-dropout/adapter_config.json"), JSON.stringify({ ...config, lora_dropout: 0.5 }));
  const train = async (adapter: string, ...options: string[]) => {
    const argv = ["--lora-continue", "--data", "lora-basic.jsonl", "--steps", "2", "-q", ...options, "-o", "on/"];
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
}, 60_000);

test("a fresh model's config says what it left out where Hugging Face would take another number", async () => {
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
  for (const name of ["bare", "whole"])
    await run("train", [
      "--init",
      `${name}.json`,
      "--data",
      "llama-tied.jsonl",
      "--steps",
      "1",
      "-q",
      "-o",
      `${name}/`,
    ]);
  const written = (name: string) => readFileSync(at(`${name}/config.json`), "utf8");
  expect(JSON.parse(written("bare"))).toEqual({ ...config, head_dim: 8, num_key_value_heads: 3 });
  expect(written("whole")).toBe(readFileSync(at("whole.json"), "utf8"));
}, 30_000);

test("rows that are cut are told of once, unless that was asked for", async () => {
  const argv = ["llama-tied", "--data", "llama-tied.jsonl", "--max-length", "5", "--steps", "2", "-q", "-o", "cut/"];
  const { err } = await run("train", argv);
  expect(err).toMatch(
    /^train: warning: rows of more than 5 tokens are cut, the first is llama-tied.jsonl:1 with \d+; --overflow split keeps the rest\n$/,
  );
  expect((await run("train", [...argv, "--overflow", "truncate"])).err).toBe("");
  const evaluated = ["evaluate", ["llama-tied", "half", ...argv.slice(1, 5), "--metric", "loss", "-q"]] as const;
  expect((await run(...evaluated)).err.trim().split("\n")).toHaveLength(1);
}, 30_000);

describe("refusals", () => {
  test.each([
    [["llama-tied"], "train: --data is missing\n"],
    [["--data", "llama-tied.jsonl", "--init", "llama-tied/config.json", "llama-tied"], "say what to train"],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--momentum", "0.5"],
      "train: adamw has no option --momentum\n  hint: optimizers with --momentum: sgd\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--lora", "--lora-targets", "q_prj"],
      "train: --lora-targets q_prj matches no linear layer of this model\n  hint: there are down_proj",
    ],
    [
      ["lora-base+lora-basic", "--data", "lora-basic.jsonl", "--lora-continue", "--lora-rank", "3"],
      "train: --lora-rank has no effect without --lora\n  hint: give both or neither",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--lora-rank", "3"],
      "train: --lora-rank has no effect without --lora\n  hint: give both or neither\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--freeze", "nothing*"],
      "train: --freeze nothing* matches no weight of llama-tied\n  hint: names are like model.embed_tokens.weight",
    ],
    [
      ["lora-base+lora-basic", "--lora-continue", "--data", "lora-basic.jsonl", "-o", "llama-tied"],
      "train: llama-tied holds a model (config.json), and this is an adapter\n  hint: name another folder",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "-o", "lora-basic"],
      "train: lora-basic holds an adapter (adapter_config.json), and this is a model\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--eval-data", "lost.jsonl", "--dry-run"],
      "train: lost.jsonl does not exist\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--best", "best/"],
      "train: --best has no effect without --eval-data\n",
    ],
    [
      ["llama-tied", "--data", "llama-tied.jsonl", "--eval-data", "llama-tied.jsonl", "--best", "refused"],
      "train: --best refused is where the last weights go\n",
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
  }, 30_000);

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
  }, 60_000);
});
