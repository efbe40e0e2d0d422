/** A reward model as a verifier: alone, on answers of a file, and as the reward of a policy. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RewardModel } from "../../../../src/run/rewarding/reward-model.ts";
import { runScript } from "../../../support/command.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { complaint, judged } from "../../answered.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const setup = { gpu: async () => gpu };
const folder = mkdtempSync(join(tmpdir(), "ingot-model-verifier-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const TINY = {
  ...{ model_type: "llama", hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 },
  ...{ vocab_size: 264, max_position_embeddings: 64, initializer_range: 0.1 },
};
const PAIRS = [{ prompt: "2+2=", chosen: "4", rejected: "5" }];
const ANSWERS = ["4", "5", "four", ""];

async function run(line: string): Promise<string> {
  const [name, ...argv] = line.split(" ");
  const { code, text, err } = await runScript(name!, argv, folder);
  if (code !== 0) throw new Error(err);
  return text;
}

beforeAll(async () => {
  writeFileSync(at("tiny.json"), JSON.stringify(TINY));
  writeFileSync(at("pairs.jsonl"), PAIRS.map((row) => `${JSON.stringify(row)}\n`).join(""));
  writeFileSync(at("rows.jsonl"), '{"prompt": "2+2=", "completion": "4"}\n{"prompt": "2+3=", "completion": "5"}\n');
  await run("train --init tiny.json --tokenizer byte --data rows.jsonl --steps 1 --batch-size 2 -o lm/");
  await run("align lm/ --method reward --data pairs.jsonl --steps 1 --lr 1e-2 -o rm/");
});

test("rewards are those of the model, of texts and of conversations", async () => {
  const model = await RewardModel.open(gpu, at("rm"));
  const said = ANSWERS.slice(0, 3).map((answer) => ({ prompt: "2+2=", answer, place: "rows.jsonl:1" }));
  const turns = said.map((one) => ({ ...one, prompt: [{ role: "user", content: "2+2=" }] }));
  const [plain, chat] = [[...(await model.score(said))], [...(await model.score(turns))]];
  model.free();
  expect(new Set(plain).size).toBe(3);
  expect(await judged(`model:${at("rm")}`, { prompt: "2+2=", completion: "4" }, ANSWERS.slice(0, 3), setup)).toEqual(
    plain,
  );
  expect(await judged(`model:${at("rm")}`, { question: "2+2=", answer: "4" }, ANSWERS.slice(0, 3), setup)).toEqual(
    chat,
  );
  expect(chat).not.toEqual(plain);
});

test("align score and a policy take it, beside other terms", async () => {
  const answers = ANSWERS.slice(0, 2).map((answer) => ({ prompt: "2+2=", answer, completion: "4" }));
  writeFileSync(at("answers.jsonl"), answers.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const lines = (await run("align score answers.jsonl --reward exact --reward 0.5*model:rm/ -q")).trimEnd().split("\n");
  for (const line of lines) {
    const { reward, parts } = JSON.parse(line) as { reward: number; parts: { exact: number; model: number } };
    expect(reward).toBeCloseTo(parts.exact + 0.5 * parts.model, 9);
  }
  await run(
    "align lm/ --method grpo --data rows.jsonl --reward model:rm/ --group 2 --batch-size 4 --max-new-tokens 2 --steps 1 --rollouts said.jsonl -o tuned/",
  );
  const dry =
    "align lm/ --method grpo --data rows.jsonl --group 2 --batch-size 4 --max-new-tokens 2 --steps 1 -n --json";
  const memory = async (reward: string) => JSON.parse(await run(`${dry} --reward ${reward} -o dry/`)).memory;
  const stored = new Bun.Glob("*.safetensors").scanSync(at("rm"));
  const bytes = [...stored].reduce((sum, file) => sum + Bun.file(at(`rm/${file}`)).size, 0);
  expect((await memory("model:rm/")).judges).toBeGreaterThan(bytes / 2);
  expect((await memory("exact")).judges).toBeUndefined();
  const first = JSON.parse(readFileSync(at("said.jsonl"), "utf8").split("\n")[0]!) as { reward: number };
  expect(Number.isFinite(first.reward)).toBe(true);
});

test("a model that gives no reward is refused before any work", async () => {
  expect(await complaint(judged(`model:${at("lm")}`, { prompt: "q" }, [], setup))).toContain(
    "gives no reward: it is a llama causal-lm",
  );
  expect(await complaint(judged("model:", { prompt: "q" }, [], setup))).toContain("model needs MODEL: a reward model");
  expect(await complaint(judged(`model:${at("none")}`, { prompt: "q" }, [], setup))).toContain("none");
});
