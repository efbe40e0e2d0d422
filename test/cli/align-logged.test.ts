/** Policies from logged decisions, and outcomes without confounders, from the shell. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { randomUnits } from "../support/random.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-logged-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const write = (name: string, rows: readonly object[]) =>
  writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);

/** Action 0 is right left of 0, action 1 right of it; 2 never is. The one who logged mostly took 2. */
const best = (x: number) => (x < 0 ? 0 : 1);
const LOGGED = [0.25, 0.25, 0.5];
function decisions(seed: number, count: number) {
  const unit = randomUnits(seed);
  return Array.from({ length: count }, () => {
    const x = 2 * unit() - 1;
    const u = unit();
    const label = u < LOGGED[0]! ? 0 : u < LOGGED[0]! + LOGGED[1]! ? 1 : 2;
    const reward = Number(unit() < (label === best(x) ? 0.9 : 0.2));
    return { x: [x, 1], label, propensity: LOGGED[label], reward, rewards: [reward, Number(label === 2)] };
  });
}
write("log.jsonl", decisions(1, 600));
write("later.jsonl", decisions(2, 600));
writeFileSync(at("mlp.json"), JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [8], num_labels: 3 }));

const RUN = "--batch-size 64 --steps 150 --lr 0.03 --save-every 0 -q";

describe("a policy from logged decisions", async () => {
  expect(
    (await run("train", "--init mlp.json --data log.jsonl --steps 1 --lr 1e-6 --save-every 0 -q -o start/")).err,
  ).toBe("");
  const value = async (model: string) =>
    JSON.parse((await run("align", `estimate ${model} --data later.jsonl --json`)).text) as Record<
      string,
      { value: number; error: number }
    > & {
      logged: number;
    };

  test.each(["dr", "ips", "dm"])("%s brings more than what was logged", async (estimator) => {
    expect(
      (await run("align", `start --method opl --opl-estimator ${estimator} --data log.jsonl ${RUN} -o ${estimator}/`))
        .err,
    ).toBe("");
    const found = await value(estimator);
    // 0.9 is the most there is, the logged policy brings 0.2 + 0.7 / 4.
    expect(found.logged).toBeCloseTo(0.375, 1);
    expect(found.dr!.value - 3 * found.dr!.error).toBeGreaterThan(0.6);
  });

  test("two rewards trade off by their weights", async () => {
    const weighed = (weights: string, name: string) =>
      run("align", `start --method opl --logged-weights ${weights} --data log.jsonl ${RUN} -o ${name}/`);
    expect((await weighed("1,0", "first")).err).toBe("");
    expect((await weighed("0.2,0.8", "second")).err).toBe("");
    const second = async (model: string) => {
      const line = `estimate ${model} --data later.jsonl --logged-weights 0,1 --json`;
      return JSON.parse((await run("align", line)).text).dr.value as number;
    };
    expect(await second("second")).toBeGreaterThan((await second("first")) + 0.5);
  });

  test("spread and entropy that are weighed in are lower and higher", async () => {
    expect((await run("align", `start --method opl --opl-entropy 1 --data log.jsonl ${RUN} -o broad/`)).err).toBe("");
    expect((await run("align", `start --method opl --opl-variance 2 --data log.jsonl ${RUN} -o steady/`)).err).toBe("");
    const [plain, broad] = [await value("dr"), await value("broad")];
    expect(broad.dr!.value).toBeLessThan(plain.dr!.value);
    expect(existsSync(at("steady/model.safetensors"))).toBe(true);
  });

  test("the table names every estimate", async () => {
    const { text } = await run("align", "estimate dr --data later.jsonl");
    expect(text.match(/^(dm|ips|snips|dr) /gm)).toHaveLength(4);
    expect(text).toContain("600 rows count as");
  });
});

test("outcomes become rewards and pairs", async () => {
  const rows = Array.from({ length: 40 }, (_, i) => ({
    prompt: `p${i % 10}`,
    completion: i % 4 < 2 ? "a vivid text" : "a dull text",
    reward: (i % 4 < 2 ? 1 : 0) + 5 * (i % 3),
    author: `author ${i % 3}`,
    hour: i % 5,
  }));
  write("outcomes.jsonl", rows);
  expect(
    (await run("align", "prepare outcomes.jsonl --deconfound author --deconfound hour -q -o rewards.jsonl")).err,
  ).toBe("");
  const read = (name: string) =>
    readFileSync(at(name), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  const made = read("rewards.jsonl");
  expect(made.map(({ raw_reward }) => raw_reward)).toEqual(rows.map(({ reward }) => reward));
  const spread = (of: readonly number[]) => Math.max(...of) - Math.min(...of);
  expect(spread(made.map(({ reward }) => reward))).toBeLessThan(0.5 * spread(rows.map(({ reward }) => reward)));
  expect((await run("align", "prepare outcomes.jsonl --deconfound author --to pairs -q -o pairs.jsonl")).err).toBe("");
  for (const { chosen, rejected, margin } of read("pairs.jsonl")) {
    expect([chosen, rejected]).toEqual(["a vivid text", "a dull text"]);
    expect(margin).toBeGreaterThan(0);
  }
});

describe("refuses", () => {
  write("short.jsonl", [{ x: [1], label: 0, propensity: 0.5, reward: 1 }]);
  write("never.jsonl", [{ x: [1, 1], label: 0, propensity: 0, reward: 1 }]);
  write("beyond.jsonl", [{ x: [1, 1], label: 7, propensity: 0.5, reward: 1 }]);
  write("worth.jsonl", [{ x: [1, 1], label: 0, propensity: 0.5, reward: "much" }]);
  write("texts.jsonl", [{ text: "a" }]);
  write("half.jsonl", [
    { prompt: "a", completion: "b", reward: 1, author: null },
    { prompt: "a", completion: "c", reward: 1, author: 1 },
  ]);
  test.each([
    ["start --method opl --data short.jsonl", "short.jsonl:1: x has 1 numbers, and the model takes 2"],
    ["start --method opl --data never.jsonl", "never.jsonl:1: propensity is 0"],
    ["start --method opl --data beyond.jsonl", "beyond.jsonl:1: label 7 is no action; the model knows 3"],
    ["start --method opl --data worth.jsonl", 'worth.jsonl:1: reward is "much"'],
    [
      "start --method opl --data texts.jsonl",
      "texts.jsonl:1: the method learns from logged decisions, found a row of text",
    ],
    ["start --method opl --logged-weights 1 --data log.jsonl", "log.jsonl:1: rewards is"],
    ["start --method dpo --data log.jsonl", "preferences are learnt by language models"],
  ])("%s", async (line, message) => {
    const { code, err } = await run("align", `${line} --steps 1 -o refused/`);
    expect([code, err.includes(message) || err]).toEqual([2, true]);
  });
  test.each([
    ["prepare half.jsonl --deconfound author --folds 1", "half.jsonl:1: the confounder author is null"],
    ["prepare texts.jsonl", "texts.jsonl:1: completion should be a text"],
    ["prepare log.jsonl", "log.jsonl:1: completion should be a text"],
  ])("%s", async (line, message) => {
    const { code, err } = await run("align", line);
    expect([code, err.includes(message) || err]).toEqual([2, true]);
  });
});
