/** Learning from preferences, from the shell: what is learnt, what is kept, what is refused. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { startScript } from "../support/command.ts";
import { Workshop } from "./unlearn-models.ts";

setDefaultTimeout(120_000);
const shop = await Workshop.make(20);
afterAll(() => shop.close());
const { at, bytesOf, run } = shop;
const write = (name: string, rows: readonly object[]) => shop.write(name, rows);

const rows = (n: number) =>
  Array.from({ length: n }, (_, i) => ({ prompt: `is ${i % 7}:`, chosen: ` a${i % 7}`, rejected: ` b${i % 5}b` }));
write("pairs.jsonl", rows(12));
write("other.jsonl", rows(11));
write(
  "chats.jsonl",
  rows(6).map(({ prompt, chosen, rejected }) => ({
    prompt: [{ role: "user", content: prompt }],
    chosen: [{ role: "assistant", content: chosen }],
    rejected: [{ role: "assistant", content: rejected }],
  })),
);
write(
  "judged.jsonl",
  rows(12).map(({ prompt, chosen, rejected }, i) => ({
    prompt,
    completion: i % 3 ? chosen : rejected,
    label: i % 3 > 0,
  })),
);
const RUN = "--batch-size 4 --lr 0.01 --schedule constant --save-every 0 -q";
const align = (line: string) => run("align", line);

const stepsOf = (log: string) => shop.steps(log) as Record<string, number>[];

describe("learns", () => {
  test.each(["dpo", "rpo", "mpo", "simpo", "orpo", "cpo", "slic"])(
    "%s: chosen answers pull ahead of rejected ones",
    async (method) => {
      const beta = ["orpo", "slic"].includes(method) ? "" : "--beta 0.5";
      const line = `base --method ${method} ${beta} --data pairs.jsonl --steps 25 ${RUN} --log ${method}.log -o ${method}/`;
      expect((await align(line.replaceAll("  ", " "))).err).toBe("");
      const [first, last] = [stepsOf(`${method}.log`)[0]!, stepsOf(`${method}.log`).at(-1)!];
      expect(last.margin).toBeGreaterThan(first.margin!);
      expect(last.accuracy).toBe(1);
      if (["dpo", "rpo"].includes(method)) expect(first.margin).toBeCloseTo(0, 4);
      if (method === "dpo") expect(first.loss).toBeCloseTo(Math.LN2, 4);
    },
  );

  test("kto: wanted answers gain and others lose, of single rows and of pairs", async () => {
    for (const data of ["judged", "pairs"]) {
      const line = `base --method kto --beta 0.5 --data ${data}.jsonl --steps 60 ${RUN} --log kto-${data}.log -o kto-${data}/`;
      expect((await align(line)).err).toBe("");
      const last = stepsOf(`kto-${data}.log`).at(-1)!;
      expect(last.reward_wanted! - last.reward_unwanted!).toBeGreaterThan(0.5);
    }
  });

  test("from conversations, and with an adapter whose base is the reference", async () => {
    const line = `base --method dpo --lora --lora-rank 2 --data chats.jsonl --steps 6 ${RUN} --log lora.log -o adapter/`;
    expect((await align(line)).err).toBe("");
    const steps = stepsOf("lora.log");
    expect(steps[0]!.loss).toBeCloseTo(Math.LN2, 4);
    expect(steps.at(-1)!.margin).toBeGreaterThan(0.01);
    expect(existsSync(at("adapter/adapter_model.safetensors"))).toBe(true);
  });

  test("warns once where both answers become less likely", async () => {
    const { err } = await align(
      "base --method dpo --beta 1 --data pairs.jsonl --steps 60 --batch-size 4 --lr 0.03 --schedule constant --save-every 0 --log fall.log -o fall/",
    );
    const steps = stepsOf("fall.log");
    const mean = (from: number, name: string) =>
      steps.slice(from, from + 20).reduce((sum, step) => sum + step[name]!, 0) / 20;
    const falls = ["logp_chosen", "logp_rejected"].map((name) => mean(0, name) - mean(40, name));
    const warnings = err.split("\n").filter((text) => text.includes("became less likely"));
    expect(falls.every((fall) => fall > 1)).toBe(true);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("--method rpo");
  });
});

describe("the reference's likelihoods", () => {
  const line = `base --method dpo --data pairs.jsonl --steps 3 ${RUN} --reference-cache kept.safetensors`;
  test("are written once and read again, and the result is the same", async () => {
    expect((await align(`${line} -o first/`)).err).toBe("");
    const kept = bytesOf("kept.safetensors");
    const { err } = await align(`${line.replace(" -q", "")} -o second/`);
    expect(err).toContain("likelihoods of the reference are those of kept.safetensors");
    expect((await align(`base --method dpo --data pairs.jsonl --steps 3 ${RUN} -o third/`)).err).toBe("");
    for (const other of ["second", "third"])
      expect(bytesOf(`${other}/model.safetensors`).equals(bytesOf("first/model.safetensors"))).toBe(true);
    expect(bytesOf("kept.safetensors").equals(kept)).toBe(true);
  });
  test("are refused for other rows, another model, and a file of something else", async () => {
    expect((await align(`${line.replace("pairs", "other")} -o no/`)).err).toContain(
      "made with another model or other rows",
    );
    expect((await align(`${line.replace("base", "first")} -o no/`)).err).toContain("made with another model");
    const wrong = line.replace("kept.safetensors", "first/model.safetensors");
    expect((await align(`${wrong} -o no/`)).err).toContain("it lacks nll (F32) or key (U8)");
  });
});

test("memory that is told is what is allocated", async () => {
  const { text } = await align(`base --method dpo --data pairs.jsonl --steps 2 ${RUN} -n --json -o planned/`);
  expect((await align(`base --method dpo --data pairs.jsonl --steps 2 ${RUN} --log told.log -o told/`)).err).toBe("");
  const [start] = readFileSync(at("told.log"), "utf8").split("\n");
  const { memory } = JSON.parse(start!);
  expect(JSON.parse(text).memory).toEqual(memory);
  // What the driver rounds up is not told.
  expect(Math.abs(stepsOf("told.log").at(-1)!.gpu_bytes! / memory.total - 1)).toBeLessThan(0.01);
});

describe("a run that was killed goes on as if it had not been", () => {
  test.each([
    ["dpo", "pairs", ""],
    ["dpo", "pairs", "--pair-loss bco-pair,sft --lora --lora-rank 2"],
    ["kto", "judged", ""],
  ])("%s of %s %s", async (method, data, more) => {
    const name = `${method}${more.length}`;
    const rest = `${more} --data ${data}.jsonl --batch-size 4 --lr 0.01 --steps 12 --save-every 1 -q`.trim();
    const line = `base --method ${method} ${rest}`;
    const resume = `${line} -o ${name}-cut/ --resume --log ${name}.log`;
    const child = startScript("align", resume.split(" "), shop.folder);
    while (child.exitCode === null && !stepsOf(`${name}.log`).some(({ step }) => step! >= 4)) await Bun.sleep(2);
    expect(child.exitCode).toBeNull();
    child.kill(9);
    await child.exited;
    expect((await align(resume)).err).toBe("");
    expect((await align(`${line} -o ${name}-whole/`)).err).toBe("");
    const file = more === "" ? "model.safetensors" : "adapter_model.safetensors";
    expect(bytesOf(`${name}-cut/${file}`).equals(bytesOf(`${name}-whole/${file}`))).toBe(true);
  });
});

describe("refuses before anything is trained", () => {
  write("texts.jsonl", [{ text: "a" }]);
  write("unlabelled.jsonl", [{ prompt: "a", completion: "b" }]);
  write("odd.jsonl", [{ prompt: "a", completion: "b", label: 1 }]);
  write("empty.jsonl", [{ prompt: "abc", chosen: "d", rejected: "" }]);
  test.each([
    [
      "base --method dpo --data texts.jsonl",
      "texts.jsonl:1: the method learns from pairs of answers, found a row of text",
    ],
    ["base --method kto --data unlabelled.jsonl", "unlabelled.jsonl:1: the row has no label"],
    ["base --method kto --data odd.jsonl", "odd.jsonl:1: label is 1"],
    [
      "base --method dpo --max-length 4 --data pairs.jsonl",
      "pairs.jsonl:1: an answer has no token that counts: its prompt fills --max-length",
    ],
    ["base --method simpo --pair-loss ipo --data pairs.jsonl", "simpo has one form of loss"],
    [
      "base --pair-loss ipo,hinge --pair-loss-weights 1 --data pairs.jsonl",
      "--pair-loss names 2 forms, and --pair-loss-weights has 1",
    ],
    ["base --pair-loss nothing --data pairs.jsonl", "unknown pair loss nothing"],
    ["base --pair-loss ipo --label-smoothing 0.1 --data pairs.jsonl", "--label-smoothing"],
    ["base --overflow split --data pairs.jsonl", "--overflow split makes several rows of one"],
    ["base --beta 0 --data pairs.jsonl", "--beta"],
  ])("%s", async (line, message) => {
    const { code, err } = await align(`${line} --steps 1 -o refused/`);
    expect([code, err.includes(message)]).toEqual([2, true]);
    expect(existsSync(at("refused"))).toBe(false);
  });
  test("a classifier", async () => {
    await shop.classifier();
    const { code, err } = await align("mlp --method dpo --data pairs.jsonl --steps 1 -o refused/");
    expect([code, err.includes("preferences are learnt by language models")]).toEqual([2, true]);
  });
});
