/** Held-out pairs while preferences and rewards are learned, and a reference other than the model as it was. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { startScript } from "../support/command.ts";
import { Workshop } from "./unlearn-models.ts";

setDefaultTimeout(120_000);
const shop = await Workshop.make(20);
afterAll(() => shop.close());
const { at, bytesOf, run } = shop;

const pairs = (n: number, from = 0) =>
  Array.from({ length: n }, (_, k) => k + from).map((i) => {
    return { prompt: `is ${i % 7}:`, chosen: ` a${i % 7}`, rejected: ` b${i % 5}b` };
  });
shop.write("pairs.jsonl", pairs(12));
shop.write("held.jsonl", pairs(5, 20));
shop.write("few.jsonl", pairs(2, 31));
shop.write(
  "prompts.jsonl",
  pairs(4).map(({ prompt, chosen }) => ({ prompt, completion: chosen })),
);
const judged = (n: number, from = 0) =>
  pairs(n, from).map(({ prompt, chosen, rejected }, i) => {
    return { prompt, completion: i % 3 ? chosen : rejected, label: i % 3 > 0 };
  });
shop.write("judged.jsonl", judged(9));
shop.write("judged-held.jsonl", judged(5, 40));
const RUN = "--batch-size 4 --lr 0.01 --schedule constant --save-every 0 -q";

type Line = Readonly<Record<string, number | string>>;
/** What the log says of held-out rows: by step, group and name. */
const heldIn = (log: string) =>
  readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line): Line => JSON.parse(line))
    .filter(({ event }) => event === "eval");
const told = (lines: readonly Line[], step: number, name: string, group?: string) =>
  Number(lines.find((line) => line.step === step && line.name === name && line.group === group)?.value);

/** Values of `evaluate --metric preference`, by name. */
async function measured(line: string): Promise<Record<string, number>> {
  const { text, err } = await run("evaluate", `${line} --metric preference --bootstrap 0 --json -q`);
  expect(err).toBe("");
  const { rows } = JSON.parse(text) as { rows: { group: string; metric: string; value: number }[] };
  return Object.fromEntries(rows.filter(({ group }) => group === "all").map(({ metric, value }) => [metric, value]));
}

describe("held-out pairs", () => {
  test("have the method's loss, accuracy and margin, those of evaluate's implicit rewards", async () => {
    const line = `base --method dpo --beta 0.5 --data pairs.jsonl --eval-data a=held.jsonl --eval-data b=few.jsonl`;
    const made = await run("align", `${line} --eval-every 5 --steps 10 ${RUN} --log held.log --json -o held/`);
    expect(made.err).toBe("");
    const lines = heldIn("held.log");
    const result = JSON.parse(made.text);
    expect(told(lines, 10, "loss")).toBe(result.held_out_loss);
    expect(told(lines, 10, "margin")).toBe(result.held_out_margin);
    expect(told(lines, 5, "loss")).not.toBe(result.held_out_loss);
    const [a, b] = ["a", "b"].map((group) => told(lines, 10, "loss", group));
    expect((5 * a! + 2 * b!) / 7).toBeCloseTo(result.held_out_loss, 6);
    const found = await measured("held --data a=held.jsonl --data b=few.jsonl --reference base --beta 0.5");
    expect(found["preference implicit"]).toBeCloseTo(result.held_out_accuracy, 6);
    expect(found["preference implicit_margin"]).toBeCloseTo(result.held_out_margin, 3);
    expect(found["preference implicit_margin"]! / 0.5).not.toBeCloseTo(found["preference margin"]!, 2);
    expect(result.best_loss).toBeLessThan(Math.LN2);
  });

  test("are a share of the rows with --eval-split, and single answers where kto learns from them", async () => {
    const split = await run("align", `base --data pairs.jsonl --eval-split 0.4 --steps 1 ${RUN} -n --json -o no/`);
    const { groups, held_out } = JSON.parse(split.text);
    expect(groups[0].rows + held_out[0].rows).toBe(12);
    expect(held_out[0].rows).toBeGreaterThan(0);
    const line = `base --method kto --data judged.jsonl --eval-data judged-held.jsonl --steps 3 ${RUN} --json -o kto/`;
    const { text, err } = await run("align", line);
    expect(err).toBe("");
    expect(JSON.parse(text)).toMatchObject({ held_out_reward_wanted: expect.any(Number), best_step: 3 });
  });

  test("of a reward model are judged as evaluate judges them", async () => {
    const line = `base --method reward --data pairs.jsonl --eval-data held.jsonl --steps 6 ${RUN} --json -o judge/`;
    const { text, err } = await run("align", line);
    expect(err).toBe("");
    const { held_out_accuracy, held_out_margin } = JSON.parse(text);
    const found = await measured("judge --data held.jsonl");
    expect(found.preference).toBeCloseTo(held_out_accuracy, 6);
    expect(found["preference margin"]).toBeCloseTo(held_out_margin, 4);
  });

  test("do not change what is learned, and a run that was killed goes on as it was", async () => {
    const rest = "--data pairs.jsonl --pair-loss bco-pair --batch-size 4 --lr 0.01 --steps 10 --save-every 1 -q";
    const line = `base --method dpo ${rest}`;
    const resume = `${line} --eval-data held.jsonl --eval-every 2 -o cut/ --resume --log cut.log`;
    const child = startScript("align", resume.split(" "), shop.folder);
    while (child.exitCode === null && !(shop.steps("cut.log") as { step: number }[]).some(({ step }) => step >= 4))
      await Bun.sleep(2);
    expect(child.exitCode).toBeNull();
    child.kill(9);
    await child.exited;
    expect((await run("align", resume)).err).toBe("");
    expect((await run("align", `${line} -o plain/`)).err).toBe("");
    expect(await shop.apart("cut/model.safetensors", "plain/model.safetensors")).toBe(0);
  });
});

describe("another reference", () => {
  test("is what the first margin is held against", async () => {
    await run("align", `base --method dpo --data pairs.jsonl --steps 8 ${RUN} -o moved/`);
    const line = "moved --method dpo --beta 0.3 --data pairs.jsonl --reference base --reference-cache kept.safetensors";
    const once = `${line} --steps 1 --batch-size 12 --lr 0.01 --save-every 0 --log other.log -o other/`;
    expect((await run("align", `${once} -q`)).err).toBe("");
    const [first] = shop.steps("other.log") as Record<string, number>[];
    const found = await measured("moved --data pairs.jsonl --reference base --beta 0.3");
    expect(first!.margin).toBeGreaterThan(0.05);
    expect(first!.margin).toBeCloseTo(found["preference implicit_margin"]!, 3);
    const again = await run("align", once.replaceAll("other", "again"));
    expect(again.err).toContain("likelihoods of the reference are those of kept.safetensors");
    expect(bytesOf("again/model.safetensors").equals(bytesOf("other/model.safetensors"))).toBe(true);
    // Under another name, the model itself is no other reference.
    for (const more of ["", " --reference base"])
      await run("align", `base --data pairs.jsonl --steps 2 ${RUN}${more} -o same${more.length}/`);
    expect(await shop.apart("same0/model.safetensors", "same17/model.safetensors")).toBe(0);
  });

  test("holds a policy, whose divergence is that of both models", async () => {
    const line = "moved --method grpo --reward regex:a --data prompts.jsonl --group 4 --max-new-tokens 4 --kl 0.1";
    const divergences: number[] = [];
    for (const [i, more] of ["", " --reference moved", " --reference base"].entries()) {
      const once = `${line}${more} --steps 1 --batch-size 8 --save-every 0 -q --log kl${i}.log -o kl${i}/`;
      expect((await run("align", once)).err).toBe("");
      divergences.push((shop.steps(`kl${i}.log`) as Record<string, number>[])[0]!.kl!);
    }
    expect(divergences[0]).toBeCloseTo(0, 5);
    expect(divergences[1]).toBeCloseTo(0, 5);
    expect(divergences[2]).toBeGreaterThan(0.01);
  });

  test.each([
    ["align base --method simpo --reference base --data pairs.jsonl", "simpo compares with no model"],
    ["align base --method grpo --reward regex:a --reference base --data prompts.jsonl", "grpo compares with no model"],
    ["align base --method reward --reference base --data pairs.jsonl", "--reference has no effect on a reward model"],
    ["align base --reference judge --data pairs.jsonl", "answers are likely under a language model"],
    ["align base --method grpo --reward regex:a --eval-split 0.5 --data prompts.jsonl", "--eval-split holds out rows"],
    ["evaluate judge --metric preference --reference base --data held.jsonl", "judge is no language model"],
    ["evaluate base --metric preference --beta 0.2 --data held.jsonl", "--beta has no effect without --reference"],
  ])("%s", async (line, message) => {
    const [script, ...argv] = line.split(" ");
    const { code, err } = await run(script!, `${argv.join(" ")}${script === "align" ? " --steps 1 -o refused/" : ""}`);
    expect([code, err.includes(message) || err]).toEqual([2, true]);
  });
});
