/** Whole recipes: the settings of their sources, and their scripts from end to end on tiny models. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { batchOf } from "../../src/curriculum/presets/stages.ts";
import { dataOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { ingotOnPath } from "../support/ingot.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-presets-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));
const run = (script: string, argv: string) => runScript(script, argv.split(" "), folder);
const linesOf = (name: string) => readFileSync(at(name), "utf8").trimEnd().split("\n");
const write = (name: string, rows: readonly object[]) =>
  writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

/** With INGOT_TEST_LONG=1 the recipes of many stages run too. */
const LONG = process.env.INGOT_TEST_LONG === "1";

/** Runs a script of the shell as a user would. */
async function sh(file: string): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn(["sh", file], { cwd: folder, env: ingotOnPath(folder), stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, out, err };
}

interface Stages {
  readonly stages: readonly { readonly words: readonly string[]; readonly makes?: string }[];
}
/** The commands of a preset, each as one line. */
async function commandsOf(line: string): Promise<string[]> {
  const { text, code, err } = await run("curriculum", `preset ${line} --test t.jsonl -n --json`);
  expect([code, err]).toEqual([0, ""]);
  const { stages } = JSON.parse(text) as Stages;
  return stages.map(({ words }) => words.join(" "));
}

test("batches are as large as the recipe says, whatever runs at once", () => {
  const of = (rows: number, micro_batch: number) => batchOf(rows, { shared: { micro_batch } as never });
  expect(of(128, 8)).toEqual({ batch_size: 8, accumulate: 16 });
  expect(of(6, 4)).toEqual({ batch_size: 3, accumulate: 2 });
  expect(of(2, 8)).toEqual({ batch_size: 2, accumulate: 1 });
  expect(of(7, 4)).toEqual({ batch_size: 1, accumulate: 7 });
});

describe("has the settings of its source", () => {
  test.each([
    [
      "tulu m/ --sft s.jsonl --pairs p.jsonl --prompts q.jsonl",
      [
        "ingot data decontaminate s.jsonl --against t.jsonl --allowed 0.02",
        "ingot data decontaminate p.jsonl --against t.jsonl --allowed 0.02",
        "ingot data decontaminate q.jsonl --against t.jsonl --allowed 0.02",
        "--batch-size 8 --accumulate 16 --schedule linear --lr 5e-6 --warmup 0.03 --epochs 2 --max-length 4096",
        "--method dpo --pair-loss sigmoid-norm --beta 5 --data tulu/pairs.jsonl --batch-size 8 --accumulate 16 --schedule linear --lr 5e-7 --warmup 0.1 --epochs 1",
        "--method ppo --reward 10*exact + 10*overlong:cache=1 --data tulu/prompts.jsonl --batch-size 8 --accumulate 16 --schedule linear --lr 3e-7 --steps 1000 --kl 0.05 --gamma 1 --gae-lambda 0.95 --clip-low 0.2 --clip-high 0.2 --temperature 1",
        "ingot evaluate m/ tulu/sft tulu/dpo tulu/rlvr --data t.jsonl --metric exact-match",
      ],
    ],
    [
      "kk-warmup m/ --target q.jsonl --to here --controls",
      [
        ...[3, 4, 5, 6, 7, 8].map((people) => `ingot data knights --people ${people} --trace --size 500`),
        "ingot train m/ --data here/knights-3.jsonl --data here/knights-4.jsonl",
        "head -n 100 q.jsonl",
        "ingot align here/warm --method grpo --group 8 --reward exact --data here/few.jsonl --batch-size 8 --accumulate 8 --lr 1e-6 --steps 100",
        "ingot align m/ --method grpo --group 8 --reward exact --data here/few.jsonl --batch-size 8 --accumulate 8 --lr 1e-6 --steps 100",
        "ingot train m/ --data here/few.jsonl --batch-size 8 --accumulate 8 --lr 1e-5 --epochs 2",
        "ingot evaluate m/ here/warm here/tuned here/plain here/shown",
      ],
    ],
    [
      "accuracy-then-length m/ --sft s.jsonl",
      [
        "--data s.jsonl --batch-size 8 --accumulate 1 --pack --max-length 24000 --schedule cosine --lr 1e-5 --epochs 10",
        "--method grpo --group 8 --reward format(think,answer) + cosine-length(max=30000,unit=characters,by=exact) + group-length(unit=characters,by=exact) + repetition:3 --kl 0.04 --temperature 1 --data s.jsonl --batch-size 8 --accumulate 8 --lr 4e-6 --steps 50",
        "ingot evaluate m/ accuracy-then-length/accurate accuracy-then-length/short",
      ],
    ],
    [
      "mix-cpt m/ --documents d.jsonl --instructions s.jsonl --preferences p.jsonl --to out --easy 50",
      [
        "ingot data plain d.jsonl s.jsonl p.jsonl",
        "ingot distill --teacher self --student m/ --method lssd --data out/mixture.jsonl --pack --batch-size 8 --accumulate 8",
        "ingot curriculum select out/known --data s.jsonl --select-by lowest-loss --keep 50",
        "ingot train out/known --data out/easy.jsonl --batch-size 8 --accumulate 8",
        "ingot align out/format --method dpo --beta 0.1 --data p.jsonl",
        "ingot evaluate m/ out/known out/format out/aligned --data t.jsonl --metric exact-match",
      ],
    ],
    [
      "stable-cpt m/ --domain d.jsonl --general g.jsonl --general h.jsonl --shares 2,1,1 --domain-rows 800 --to out",
      [
        "ingot curriculum select m/ --data d.jsonl --select-by lowest-loss --keep-rows 800",
        // 800 rows four times, half of every update of 64.
        "ingot curriculum m/ --method stable-cpt --domain domain --mixture 2,1,1 --batch-size 8 --accumulate 8 --max-length 2048 --schedule cosine --lr 3e-5 --warmup 0.01 --steps 100 --resume --data domain=out/best.jsonl --data general-1=g.jsonl --data general-2=h.jsonl",
        "ingot evaluate m/ out/tuned --data t.jsonl --metric loss,perplexity",
      ],
    ],
    [
      "small-sft m/ --phases a.jsonl --phases b.jsonl --held h.jsonl --order phased",
      [
        "ingot curriculum m/ --method phased --batch-size 8 --accumulate 480 --max-length 4096 --schedule constant --lr 2e-5 --warmup 0 --epochs 10 --eval-data h.jsonl --eval-every 20 --best small-sft/best --resume --data phase-1=a.jsonl --data phase-2=b.jsonl",
        "ingot evaluate m/ small-sft/last small-sft/best --data t.jsonl --metric exact-match",
      ],
    ],
  ])("%s", async (line, parts) => {
    const commands = await commandsOf(line);
    expect(commands).toHaveLength(parts.length);
    for (const [i, part] of parts.entries()) expect(commands[i]).toContain(part);
  });
});

describe("from end to end", () => {
  beforeAll(async () => {
    const sizes = { hidden_size: 16, intermediate_size: 24, num_hidden_layers: 1, num_attention_heads: 2 };
    const config = { model_type: "llama", ...sizes, vocab_size: 264, max_position_embeddings: 1024 };
    writeFileSync(at("tiny.json"), JSON.stringify(config));
    const sums = Array.from({ length: 12 }, (_, i) => ({ prompt: `${i}+${i}=`, completion: `${2 * i}` }));
    const asked = "how many of the nine small stones are in the red box ?";
    write("test.jsonl", [{ prompt: asked, completion: "4" }]);
    write("sums.jsonl", sums);
    write("shown.jsonl", [...sums, { prompt: `${asked} and why`, completion: "4" }]);
    write("texts.jsonl", [{ text: "sums are what numbers make together" }]);
    write(
      "pairs.jsonl",
      sums.map(({ prompt, completion }) => ({ prompt, chosen: completion, rejected: "x" })),
    );
    const made = await run("train", "--init tiny.json --tokenizer byte --data sums.jsonl --steps 1 -q -o base/");
    expect([made.code, made.err]).toEqual([0, ""]);
  });

  const SMALL = "--test test.jsonl --micro-batch 4 --max-new-tokens 4 --batch 4 --max-length 1000";

  const recipes: [name: string, given: string, results: string[], last: string][] = [
    [
      "tulu",
      "base/ --sft shown.jsonl --pairs pairs.jsonl --prompts sums.jsonl --rl-steps 1",
      ["sft.jsonl", "sft", "dpo", "rlvr"],
      "rlvr",
    ],
    [
      "kk-warmup",
      "base/ --target sums.jsonl --examples 5 --people 2,3 --puzzles 8 --group 4 --controls --rl-steps 1",
      ["knights-2.jsonl", "knights-3.jsonl", "warm", "few.jsonl", "tuned", "plain", "shown"],
      "plain",
    ],
    [
      "accuracy-then-length",
      "base/ --sft sums.jsonl --sft-epochs 1 --answers 8 --group 4 --form .* --rl-steps 1",
      ["accurate", "short"],
      "short",
    ],
    [
      "mix-cpt",
      "base/ --documents texts.jsonl --instructions sums.jsonl --preferences pairs.jsonl --easy 5 --sft-epochs 1",
      ["mixture.jsonl", "known", "easy.jsonl", "format", "aligned"],
      "aligned",
    ],
    [
      "stable-cpt",
      "base/ --domain sums.jsonl --general texts.jsonl --domain-rows 4 --domain-epochs 1",
      ["best.jsonl", "tuned"],
      "tuned",
    ],
    [
      "small-sft",
      "base/ --phases sums.jsonl --phases shown.jsonl --held test.jsonl --sft-epochs 1",
      ["last", "best"],
      "last",
    ],
  ];
  test.each(recipes.filter(([name]) => LONG || name === "accuracy-then-length"))(
    "%s",
    async (name, given, results, last) => {
      const written = await run("curriculum", `preset ${name} ${given} ${SMALL} -q -o ${name}.sh`);
      expect([written.code, written.err]).toEqual([0, ""]);
      const first = await sh(`${name}.sh`);
      expect([first.code, first.code === 0 ? "" : first.err]).toEqual([0, ""]);
      for (const made of results) expect([made, existsSync(at(`${name}/${made}`))]).toEqual([made, true]);
      for (const model of results.filter((made) => !made.includes(".")))
        expect(first.out).toContain(`${name}/${model}`);
      if (name === "tulu") expect(linesOf("tulu/sft.jsonl")).toEqual(linesOf("sums.jsonl"));
      if (name === "mix-cpt") {
        expect(linesOf("mix-cpt/mixture.jsonl")).toHaveLength(1 + 12 + 12);
        expect(linesOf("mix-cpt/easy.jsonl")).toHaveLength(5);
        for (const line of linesOf("mix-cpt/easy.jsonl")) expect(linesOf("sums.jsonl")).toContain(line);
      }
      if (name === "kk-warmup") expect(linesOf("kk-warmup/few.jsonl")).toEqual(linesOf("sums.jsonl").slice(0, 5));
      // Run again without its last result, it makes that one alone.
      const file = at(`${name}/${last}/model.safetensors`);
      const bytes = dataOf(readFileSync(file));
      rmSync(at(`${name}/${last}`), { recursive: true });
      const again = await sh(`${name}.sh`);
      expect([again.code, again.out]).toEqual([0, first.out]);
      expect(again.err.match(/^\w+: .* peak .*$/gm)).toEqual([expect.stringContaining(`${name}/${last}`)]);
      expect(dataOf(readFileSync(file)).equals(bytes)).toBe(true);
    },
  );

  test.each([
    ["kk-warmup base/ --target sums.jsonl --people 3", "--people 3 should be two numbers"],
    ["kk-warmup base/ --target sums.jsonl --people 4,3", "--people 4,3 should be two numbers"],
    [
      "accuracy-then-length base/ --sft sums.jsonl --reward 2*exact",
      "--reward 2*exact is not the name of one verifier",
    ],
    ["tulu --sft a --pairs b --prompts c", "tulu begins with a model, and none is named"],
    ["tulo base/", "unknown preset tulo"],
  ])("refuses %s", async (line, message) => {
    const { code, err } = await run("curriculum", `preset ${line} --test test.jsonl`);
    expect([code, err.includes(message) || err]).toEqual([2, true]);
  });
});
