/** Bandits over groups of prompts: their shares, what they hear of rollouts, and a run that is killed. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { method as dump } from "../../../src/align/methods/prompt-samplers/dump.ts";
import { method as sec } from "../../../src/align/methods/prompt-samplers/sec.ts";
import { BanditPrompts } from "../../../src/align/policies/prompt-order.ts";
import type { PromptSampler } from "../../../src/align/policies/prompt-samplers/contract.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { confidenceBonus } from "../../../src/run/bandits.ts";
import { dataOf } from "../../support/checkpoint-values.ts";
import { runScript, startScript } from "../../support/command.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);

const bound = (method: unknown, values: Record<string, unknown> = {}) =>
  bindDefaults(method as PromptSampler, values as never);
const bandit = (method: unknown, groups: number, values: Record<string, unknown> = {}) => {
  const { method: own, values: all } = bound(method, values);
  return own.make(groups, all);
};
const even = (k: number) => Array.from({ length: k }, () => expect.closeTo(1 / k, 9));
const largest = (values: readonly number[]) => values.indexOf(Math.max(...values));

describe.each([
  ["sec", sec, { arm_temperature: 0.2 }],
  ["dump", dump, { arm_window: 16, arm_bonus: 0.1 }],
] as const)("%s", (_, method, values) => {
  test("draws most what is solved about half of the time, group after group", () => {
    const crossing = [10, 25, 40, 55];
    const own = bandit(method, 4, values);
    const favourite: number[] = [];
    for (let t = 1; t <= 60; t++) {
      const solved = crossing.map((at) => 1 / (1 + Math.exp(at - t)));
      // The mean |advantage| of a 0/1 reward that is 1 in a share q of the answers.
      own.heard(solved.map((q) => Array<number>(8).fill(2 * Math.sqrt(q * (1 - q)))));
      favourite.push(largest(own.shares()));
    }
    for (const [group, at] of crossing.entries())
      expect(favourite.slice(at, at + 4)).toEqual([group, group, group, group]);
    expect(favourite.slice(10)).toEqual(favourite.slice(10).toSorted());
  });

  test("is uniform at first, where all advantages are alike, and at a large temperature", () => {
    const own = bandit(method, 3, values);
    expect(own.shares()).toEqual(even(3));
    for (let t = 0; t < 20; t++) own.heard([[0.5], [0.5], [0.5]]);
    expect(own.shares()).toEqual(even(3));
    const hot = bandit(method, 3, { ...values, arm_temperature: 1e9 });
    hot.heard([[2], [0], [1]]);
    for (const share of hot.shares()) expect(share).toBeCloseTo(1 / 3, 6);
  });

  test("goes on from its state, and refuses another one", () => {
    const [one, other] = [bandit(method, 2, values), bandit(method, 2, values)];
    one.heard([[1, 0.5], []]);
    other.load(JSON.parse(JSON.stringify(one.state())));
    for (const own of [one, other]) own.heard([[0.25], [1, 1]]);
    expect(other.shares()).toEqual(one.shares());
    for (const odd of [null, [[1]], [[1], ["a"]], [[1], 2]])
      expect(() => bandit(method, 2, values).load(odd as never)).toThrow("has not a list of numbers for each of 2");
  });
});

test("sec: values move by the rate, those of groups that were not drawn decay, and equal rewards fall to the floor", () => {
  const own = bandit(sec, 3);
  own.heard([[1, 0.6], [0.4], [0, 0]]);
  own.heard([[0.8], [], [0]]);
  expect(own.told().value).toEqual([0.6, 0.1, 0].map((value) => expect.closeTo(value, 9)));
  const [, , floor] = own.shares();
  for (let t = 0; t < 40; t++) own.heard([[1], [1], [0]]);
  expect(own.shares()[2]).toBeLessThan(floor!);
  expect(own.shares()[2]).toBeCloseTo(1 / (1 + 2 * Math.E), 6);
  const greedy = bandit(sec, 3, { arm_rule: "greedy", arm_epsilon: 0.3 });
  greedy.heard([[0.1], [0.5], [0.2]]);
  expect(greedy.shares()).toEqual([0.1, 0.8, 0.1].map((p) => expect.closeTo(p, 9)));
  const floors = bandit(sec, 3, { arm_rule: "proportional", arm_rate: 1 });
  floors.heard([[0.49], [0.5], []]);
  expect(floors.shares()).toEqual([0.49, 0.5, 0.01].map((p) => expect.closeTo(p, 9)));
});

test("dump: the window, the bonus of what was seldom seen, and the best group alone at a small temperature", () => {
  const own = bandit(dump, 3, { arm_window: 2 });
  own.heard([[1, 3, 5], [1], []]);
  expect(own.told()).toEqual({ mean: [4, 1, 0], bonus: confidenceBonus([3, 1, 0], 1) });
  expect(largest(own.told().bonus!)).toBe(2);
  const rare = bandit(dump, 3, { arm_temperature: 1 });
  rare.heard([Array(30).fill(0.2), Array(20).fill(0.2), Array(10).fill(0.2)]);
  expect(rare.shares()).toEqual(rare.shares().toSorted((a, b) => a - b));
  const cold = bandit(dump, 3, { arm_temperature: 1e-6 });
  cold.heard([[0.1], [0.3], [0.2]]);
  expect(cold.shares()).toEqual([0, 1, 0]);
});

test("prompts of a group all come before one comes again, and then it is another to the sampling", () => {
  const groups = ["a", "b"].map((name) => ({ name, lengths: new Int32Array(3).fill(2) }));
  const prompts = [0, 0, 0, 1, 1, 1].map((group) => ({ group }));
  const order = new BanditPrompts({
    ...{ read: { groups, prompts } as never, sampler: bound(sec), seed: 4, shuffle: true, digest: "d" },
  });
  const drawn = Array.from({ length: 40 }, () => order.next());
  const keys = drawn.map(({ prompt, epoch }) => `${epoch}.${prompt}`);
  expect(new Set(keys).size).toBe(40);
  for (const part of [(p: number) => p < 3, (p: number) => p >= 3]) {
    const own = drawn.filter(({ prompt }) => part(prompt));
    expect(own.length).toBeGreaterThan(10);
    for (let from = 0; from + 3 <= own.length; from += 3)
      expect(new Set(own.slice(from, from + 3).map(({ prompt }) => prompt)).size).toBe(3);
  }
  // Of what is left out, neither a prompt nor a group without others is drawn.
  const some = Array.from({ length: 12 }, () => order.next((prompt) => prompt !== 4 && prompt !== 5));
  expect(new Set(some.map(({ prompt }) => prompt))).toEqual(new Set([4, 5]));
});

describe("from the shell", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-arms-"));
  const at = (name: string) => join(folder, name);
  const run = (argv: string, script = "align") => runScript(script, argv.split(" "), folder);
  afterAll(() => rmSync(folder, { recursive: true }));
  type Line = Readonly<Record<string, number>> & { readonly event: string };
  const linesOf = (name: string) => readFileSync(at(name), "utf8").trimEnd().split("\n");
  const weightsOf = (name: string) => dataOf(readFileSync(at(join(name, "model.safetensors"))));
  const rollouts = (log: string) =>
    linesOf(log)
      .map((line): Line => JSON.parse(line))
      .filter(({ event }) => event === "rollout");

  beforeAll(async () => {
    writeFileSync(at("tiny.json"), JSON.stringify({ ...TINY_TEXT.llama!, vocab_size: 264, num_hidden_layers: 1 }));
    // The answer to rows of `some` is a text that has a small letter; others are always right, or never.
    for (const [name, regex] of [
      ["all", "."],
      ["some", "[a-z]"],
      ["none", "^nothing of this$"],
    ] as const) {
      const rows = Array.from({ length: 5 }, (_, i) => ({ prompt: `${name} ${i}: `, completion: regex }));
      writeFileSync(at(`${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    }
    writeFileSync(
      at("judge.js"),
      `for (const line of require("node:fs").readFileSync(0, "utf8").trimEnd().split("\\n")) {
         const { answer, row } = JSON.parse(line);
         console.log(Number(new RegExp(row.completion, "s").test(answer + "x".repeat(row.completion === "."))));
       }`,
    );
    const made = await run(
      "--init tiny.json --tokenizer byte --data all.jsonl --steps 1 --save-every 0 -q -o base/",
      "train",
    );
    expect([made.code, made.err]).toEqual([0, ""]);
  });

  const DATA = "--data all=all.jsonl --data some=some.jsonl --data none=none.jsonl";
  const ASKED = `base/ --method grpo ${DATA} --group 4 --batch-size 12 --max-new-tokens 3 --lr 1e-4 -q`;
  const argvOf = (line: string) => [...line.split(" "), "--verify", "bun judge.js"];

  test("shares follow the advantages of the answers, are logged, and a run that was killed ends in the same bytes", async () => {
    const asked = `${ASKED} --curriculum sec --arm-temperature 0.1 --steps 6 --save-every 1`;
    const whole = await runScript(
      "align",
      argvOf(`${asked} --rollouts all-rows.jsonl --log whole.log -o whole/`),
      folder,
    );
    expect([whole.code, whole.err]).toEqual([0, ""]);
    const answers = linesOf("all-rows.jsonl").map((line) => JSON.parse(line));
    const told = rollouts("whole.log");
    expect(told).toHaveLength(6);
    let values: Record<string, number> = { all: 0, some: 0, none: 0 };
    for (const [i, rollout] of told.entries()) {
      const sum = Object.values(values).reduce((all, value) => all + Math.exp(value / 0.1), 0);
      for (const [name, value] of Object.entries(values))
        expect(rollout[`share.${name}`]).toBeCloseTo(Math.exp(value / 0.1) / sum, 9);
      const own = answers.filter(({ rollout: number }) => number === i + 1);
      values = Object.fromEntries(
        Object.entries(values).map(([name, value]) => {
          const sizes = own.filter(({ place }) => place.startsWith(name)).map(({ advantage }) => Math.abs(advantage));
          const mean = sizes.reduce((a, b) => a + b, 0) / Math.max(1, sizes.length);
          return [name, 0.5 * value + 0.5 * mean];
        }),
      );
      for (const [name, value] of Object.entries(values)) expect(rollout[`value.${name}`]).toBeCloseTo(value, 9);
    }
    expect(told.at(-1)!["share.some"]).toBeGreaterThan(0.8);
    const words = argvOf(`${asked} --log cut.log -o cut/ --resume`);
    const child = startScript("align", words, folder);
    const steps = () => (existsSync(at("cut.log")) ? readFileSync(at("cut.log"), "utf8").split('"event":"step"') : []);
    while (child.exitCode === null && steps().length < 3) await Bun.sleep(2);
    expect(child.exitCode).toBeNull();
    child.kill(9);
    await child.exited;
    expect((await runScript("align", words, folder)).code).toBe(0);
    expect(weightsOf("cut").equals(weightsOf("whole"))).toBe(true);
  });

  test("dump draws what was not seen, and leaves what has no advantages", async () => {
    const line = `${ASKED} --curriculum dump --arm-window 24 --arm-temperature 1 --dynamic-sampling --steps 3 --save-every 0 --log dump.log -o dump/`;
    expect((await runScript("align", argvOf(line), folder)).code).toBe(0);
    const told = rollouts("dump.log");
    expect(["all", "some", "none"].map((name) => told[0]![`share.${name}`])).toEqual(even(3));
    // Answers of groups that dynamic sampling left out count, too: theirs have no advantage.
    expect(["all", "none"].map((name) => told.at(-1)![`mean.${name}`])).toEqual([0, 0]);
    expect(told.at(-1)!["mean.some"]).toBeGreaterThan(0.3);
  });

  const GRPO = "--method grpo --group 4 --max-new-tokens 3 --reward regex:a";
  test.each([
    [`${GRPO} --data all.jsonl --curriculum sec`, "--data names one"],
    [`${GRPO} ${DATA} --curriculum sec --mixture 1,1,1`, "both say how groups are drawn"],
    ["--method dpo --data all.jsonl --curriculum sec", "--curriculum follows the advantages of sampled answers"],
    [`${GRPO} ${DATA} --curriculum doremi`, "unknown prompt sampler doremi"],
    [`${GRPO} ${DATA} --curriculum dump --arm-rate 0.1`, "--arm-rate"],
  ])("refuses %s", async (line, message) => {
    const { code, err } = await run(`base/ ${line} --batch-size 4 --steps 1 -o refused/`);
    expect([code, err.includes(message) || err]).toEqual([2, true]);
  });
});
