/** The laws that verifiers claim, on rows of tasks and answers that are right, wrong and hostile. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  type Answered,
  VERIFIER_LAWS,
  type Verifier,
  type VerifierLaw,
  type VerifierMethod,
} from "../../src/align/verifying/contract.ts";
import { parseRewards } from "../../src/align/verifying/rewards.ts";
import type { Task } from "../../src/data/task.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethod, loadMethods } from "../../src/method/registry.ts";
import { answered } from "../align/answered.ts";

setDefaultTimeout(60_000);
const SIGNAL = new AbortController().signal;
const known = await loadMethods("verifier");
/** A reward model is a checkpoint, and has a test of its own. */
const verifiers = known.filter(({ name }) => name !== "model");

/** Rows of the tasks that hold their answers, each with its own completion. */
async function truths(): Promise<Answered[]> {
  const found: Answered[] = [];
  for (const [name, given] of [
    ["addition"],
    ["modular"],
    ["knights"],
    ["preferences", { form: "unpaired" }],
    ["shop"],
  ] as const) {
    const task = (await loadMethod("task", name)) as Task;
    const source = task.open({ seed: 3, split: "train" }, bindDefaults(task, given).values);
    for (let i = 0; i < 4; i++) {
      const row = JSON.parse(JSON.stringify(source.row(i)));
      found.push(answered(row, row.completion, { place: `${name}.jsonl:${i + 1}` }));
    }
  }
  return found;
}

const HOSTILE = [
  "",
  " ",
  "\0\ufffd\u2028",
  "9".repeat(5000),
  "a is ".repeat(3000),
  "<think>".repeat(500),
  "<think>so</think><answer>4</answer>",
  "-1 ".repeat(4000),
];

const right = await truths();
const others = right.flatMap((one, i) => [
  { ...one, answer: right[(i + 1) % right.length]!.answer },
  {
    ...one,
    answer: HOSTILE[i % HOSTILE.length]!,
    tokens: 3 * i,
    truncated: i % 2 === 0,
    effort: { share: 0.5, most: 9 },
  },
]);
const all = [...right, ...others];

async function made({ name, trial }: VerifierMethod): Promise<Verifier> {
  const [term] = await parseRewards([trial === undefined ? name : `${name}:${trial}`]);
  return term!.verifier;
}

const CHECKS: Readonly<Record<VerifierLaw, (method: VerifierMethod) => Promise<void>>> = {
  async alone(method) {
    const verifier = await made(method);
    const together = await verifier.score(all, SIGNAL);
    const turned = await verifier.score(all.toReversed(), SIGNAL);
    expect(turned.toReversed()).toEqual([...together]);
    for (const [i, one] of all.entries()) expect(await verifier.score([one], SIGNAL)).toEqual([together[i]!]);
  },
  async truth(method) {
    const rewards = await (await made(method)).score(right, SIGNAL);
    expect(rewards.some((reward) => reward !== null)).toBe(true);
    for (const [i, reward] of rewards.entries())
      if (reward !== null) expect([right[i]!.place, reward]).toEqual([right[i]!.place, method.range[1]]);
  },
  async range(method) {
    const rewards = await (await made(method)).score(all, SIGNAL);
    for (const reward of rewards) {
      if (reward === null) continue;
      expect(reward).toBeGreaterThanOrEqual(method.range[0]);
      expect(reward).toBeLessThanOrEqual(method.range[1]);
    }
  },
};

describe.each(Object.keys(VERIFIER_LAWS) as VerifierLaw[])("%s", (law) => {
  const claiming = verifiers.filter(({ laws }) => claimed(laws).includes(law));
  test.each(claiming.map((method) => [method.name, method] as const))("%s", (_, method) => CHECKS[law](method));
});

test("some reward differs between answers, for every verifier that compares with nothing but the row", async () => {
  for (const method of verifiers.filter(({ laws }) => claimed(laws).includes("alone"))) {
    const rewards = await (await made(method)).score(all, SIGNAL);
    expect([method.name, new Set(rewards).size > 1]).toEqual([method.name, true]);
  }
});

test("a second score of the same answers is the same", async () => {
  for (const method of verifiers) {
    const verifier = await made(method);
    expect(await verifier.score(all, SIGNAL)).toEqual(await verifier.score(all, SIGNAL));
  }
});
