/** `--method planner` and `align plan`: which tokens count, how workers are heard, and what is learnt. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pairOfPlans, plans, rightPlans } from "../../src/align/attempts/plans.ts";
import { method as planner } from "../../src/align/methods/preferences/planner.ts";
import { readItems } from "../../src/align/preferences/rows.ts";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import type { Message } from "../../src/data/rows.ts";
import type { Errand } from "../../src/data/worlds/errands.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import type { Rollout } from "../../src/run/generating/rollouts.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(900_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-planner-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));
const tokenizer = byteTokenizer();

const says = (role: string, content: string, name?: string) => ({ role, content, ...(name ? { name } : {}) });
const pairRow = (workers: string, name?: string) => ({
  prompt: [says("user", "3 b a")],
  chosen: [says("assistant", "b 3", name), says(workers, "6"), says("assistant", "= 6", name)],
  rejected: [says("assistant", "= 3", name)],
});
/** What counts of both answers of a row, as texts. */
async function counted(row: object, settings: Record<string, unknown> = {}): Promise<string[]> {
  writeFileSync(at("pair.jsonl"), `${JSON.stringify(row)}\n`);
  const { values } = bindDefaults(planner, settings as never);
  const speaks = (message: Message) => planner.speaks!(values, message);
  const [group] = await readItems([{ name: "all", path: at("pair.jsonl") }], { tokenizer, speaks }, "pairs");
  const { first, second } = group!.items[0]!;
  return [first, second].map(({ ids, labels }) => tokenizer.decode(ids.filter((_, i) => labels[i]! >= 0)));
}

describe("what counts", () => {
  test("are the planner's messages with their ends, and nothing that workers say", async () => {
    const both = ["b 3<eos>= 6<eos>", "= 3<eos>"];
    expect(await counted(pairRow("tool"))).toEqual(both);
    expect(await counted(pairRow("user"))).toEqual(both);
  });

  test("is the assistant of --planner where several speak", async () => {
    const { prompt, chosen, rejected } = pairRow("assistant", "boss");
    const named = { prompt, chosen: chosen.with(1, says("assistant", "6", "worker")), rejected };
    expect(await counted(named, { planner: "boss" })).toEqual(["b 3<eos>= 6<eos>", "= 3<eos>"]);
    expect(counted(named, { planner: "nobody" })).rejects.toThrow("has no token that counts");
  });

  test("are conversations alone", () => {
    expect(counted({ prompt: "3 b", chosen: "a", rejected: "b" })).rejects.toThrow("the answers are texts");
  });
});

describe("a trajectory", () => {
  const errand: Errand = { start: 3, steps: ["b", "a"], workers: { a: "1234567890", b: "9876543210" } };
  const task = { errand, asked: [{ role: "user", content: "3 b a" }], place: "tasks:1" };
  /** A planner whose messages are given, attempt by attempt. */
  const planned = (scripts: readonly (readonly string[])[], more: { turns?: number; positions?: number } = {}) => {
    const heard: string[] = [];
    const sample = async (prompts: readonly { ids: readonly number[]; key: string }[]): Promise<Rollout[]> =>
      prompts.map(({ ids, key }) => {
        heard.push(tokenizer.decode(ids));
        const [, attempt, turn] = /^0\.(\d) turn (\d)$/.exec(key)!;
        const text = scripts[Number(attempt)]![Number(turn)]!;
        return { ids: [], logProbs: [], text: text.replace("…", ""), truncated: text.endsWith("…") };
      });
    const encode = (messages: readonly Message[]) =>
      tokenizer.encode(messages.map(({ role, content }) => `${role}:${content};`).join(""));
    const ways = plans([task], scripts.length, {
      ...{ rollouts: { sample }, encode: (own) => [...encode(own)], ends: [258], positions: 1000, temperature: 1 },
      ...{ maxTokens: 8, turns: 4, rows: 8, seed: 0, signal: new AbortController().signal, ...more },
    });
    return ways.then(([own]) => ({ own: own!, heard }));
  };

  test("is what planner and workers say in turn, until the planner ends", async () => {
    const { own, heard } = await planned([
      ["b 3", "a 6", "= 7"],
      ["b 3", "= 6"],
      ["what", "= 7"],
    ]);
    expect(own[0]!.messages.map(({ role, content }) => `${role} ${content}`)).toEqual([
      "assistant b 3",
      "tool 6",
      "assistant a 6",
      "tool 7",
      "assistant = 7",
    ]);
    expect(own.map(({ isRight }) => isRight)).toEqual([true, false, true]);
    expect(own[2]!.messages[1]).toEqual({ role: "tool", content: "?" });
    expect(heard.at(-1)).toBe("user:3 b a;assistant:b 3;tool:6;assistant:a 6;tool:7;");
    expect(pairOfPlans(task, own)).toEqual({
      prompt: task.asked,
      chosen: own[0]!.messages,
      rejected: own[1]!.messages,
    });
    expect(pairOfPlans(task, [own[0]!])).toBeUndefined();
    expect(rightPlans(task, [own[0]!, own[0]!, own[1]!])).toEqual([{ messages: [...task.asked, ...own[0]!.messages] }]);
  });

  test("that says too much, does not end or has no room is lost", async () => {
    const { own } = await planned([["b 3", "= 7…"], Array(9).fill("b 3")], { turns: 3 });
    expect(own.map(({ isRight, messages }) => [isRight, messages.length])).toEqual([
      [false, 3],
      [false, 6],
    ]);
    const { own: cramped } = await planned([["b 3", "a 6", "= 7"]], { positions: 40 });
    expect(cramped[0]!.isRight).toBe(false);
  });
});

const run = async (script: string, argv: string) => {
  const done = await runScript(script, argv.split(" "), folder);
  expect([done.err, done.code]).toEqual([expect.anything(), 0]);
  return done;
};

beforeAll(async () => {
  const tiny = { model_type: "gpt2", n_embd: 16, n_layer: 1, n_head: 2, n_positions: 160, vocab_size: 264 };
  writeFileSync(at("tiny.json"), JSON.stringify(tiny));
  await run("data", "errands --size 6 -q -o errands.jsonl");
  await run("train", "--init tiny.json --tokenizer byte --data errands.jsonl --steps 1 --save-every 0 -q -o tiny/");
});

test("from the shell: a plan is told, and a planner learns from pairs", async () => {
  const told = await run(
    "align",
    "plan tiny/ --data errands.jsonl --attempts 2 --turns 2 --max-new-tokens 3 --json -o none.jsonl",
  );
  expect(JSON.parse(told.text)).toMatchObject({ tasks: 6, trajectories: 12 });
  writeFileSync(at("pairs.jsonl"), `${JSON.stringify(pairRow("tool"))}\n`);
  await run(
    "align",
    "tiny/ --method planner --data pairs.jsonl --batch-size 1 --steps 2 --log run.log --save-every 0 -q -o out/",
  );
  const steps = readFileSync(at("run.log"), "utf8")
    .split("\n")
    .filter((line) => line.includes('"step"'))
    .map((line) => JSON.parse(line));
  expect(steps[0].loss).toBeCloseTo(Math.LN2, 5);
  expect(steps[1].margin).toBeGreaterThan(0);
});

test("rows without an errand are refused", async () => {
  const done = await runScript("align", "plan tiny/ --data pairs.jsonl".split(" "), folder);
  expect([done.code, done.err]).toEqual([2, expect.stringContaining("pairs.jsonl:1: the row is no conversation")]);
});

test.if(process.env.INGOT_TEST_LONG === "1")(
  "compositions that were held out end right more often after pairs than after right trajectories alone",
  async () => {
    const model = {
      model_type: "gpt2",
      n_embd: 64,
      n_layer: 2,
      n_head: 4,
      n_positions: 128,
      vocab_size: 264,
      initializer_range: 0.1,
    };
    writeFileSync(at("planner.json"), JSON.stringify(model));
    await run("data", "errands --slips 0.4 --size 1500 -q -o shown.jsonl");
    await run("data", "errands --size 400 -q -o tasks.jsonl");
    await run("data", "errands --split test --size 100 -q -o held.jsonl");
    const success = async (name: string) =>
      JSON.parse((await run("align", `plan ${name}/ --data held.jsonl --attempts 4 --json -o ${name}.jsonl`)).text)
        .success;
    await run(
      "train",
      "--init planner.json --tokenizer byte --data shown.jsonl --batch-size 32 --steps 150 --lr 4e-3 --warmup 30 --clip 1 --save-every 0 -q -o begun/",
    );
    await run("align", "plan begun/ --data tasks.jsonl --attempts 4 --to wins -o wins.jsonl");
    await run("train", "begun/ --data wins.jsonl --batch-size 32 --steps 40 --lr 1e-3 --save-every 0 -q -o taught/");
    await run("align", "plan taught/ --data tasks.jsonl --attempts 4 -o chosen.jsonl");
    await run(
      "align",
      "taught/ --method planner --pair-loss sigmoid,sft --data chosen.jsonl --batch-size 16 --steps 60 --lr 1e-3 --save-every 0 -q -o planner/",
    );
    const [taught, planned] = [await success("taught"), await success("planner")];
    expect(planned).toBeGreaterThan(taught + 0.1);
  },
);
