import { expect, test } from "bun:test";
import { cpSync, writeFileSync } from "node:fs";
import { lines, nextModel } from "./next-model.ts";

const { at, run } = await nextModel("sample-ensemble");

test("a model that knows outweighs one that does not, and --json tells the weights", async () => {
  writeFileSync(at("digits.jsonl"), lines(Array.from({ length: 8 }, () => ({ text: "1234567890" }))));
  const usual = ["--init", "config.json", "--tokenizer", "byte", "--data", "digits.jsonl", "--lr", "0.01", "-q"];
  expect((await run("train", [...usual, "--steps", "60", "-o", "knows"])).code).toBe(0);
  expect((await run("train", [...usual, "--steps", "1", "--seed", "1", "-o", "strange"])).code).toBe(0);
  const argv = ["strange", "3456", "--with", "knows", "-m", "1", "--json", "-q"];
  const weights = async (...more: string[]) => JSON.parse((await run("sample", [...argv, ...more])).text).weights;
  const [strange, knows] = await weights();
  expect(strange! + knows!).toBeCloseTo(1, 9);
  expect(knows!).toBeGreaterThan(0.8);
  expect((await weights("--ensemble", "bayes"))[1]!).toBeGreaterThan(0.99);
  const [, short] = await weights("--ensemble", "bayes", "--ensemble-discount", "0.1");
  expect(short!).toBeGreaterThan(0.8);
  expect(short!).not.toBe((await weights("--ensemble", "bayes"))[1]!);
  expect(await weights("--ensemble", "equal")).toEqual([0.5, 0.5]);
}, 120_000);

test("answers, conversations and plans are of all models", async () => {
  expect((await run("sample", ["next", "3>", "--with", "next", "-q"])).text).toBe("4\n");
  const chat = ["next", "3>", "--with", "next", "--chat", "-m", "2", "-q"];
  expect((await run("sample", chat)).text).toBe(
    (
      await run(
        "sample",
        chat.filter((_, i) => i < 2 || i > 3),
      )
    ).text,
  );
  const plan = await run("sample", ["next", "3>", "--with", "next", "-n"]);
  expect(plan.text).toMatch(/^model {7}next, 75\.1 kB of weights\nwith {8}next, 75\.1 kB of weights\n/);
  const json = async (...more: string[]) =>
    JSON.parse((await run("sample", ["next", "3>", "-n", "--json", ...more])).text);
  const [one, two] = [await json(), await json("--with", "next")];
  expect(two.with).toEqual([{ model: "next", bytes: one.bytes }]);
  expect(two.cache).toBe(2 * one.cache);
  expect(two.gpu_memory).toBeGreaterThan(1.9 * one.gpu_memory);
}, 120_000);

test("refuses models of another vocabulary, and ways to weigh one model", async () => {
  cpSync(at("next"), at("other"), { recursive: true });
  const file = at("other/tokenizer.json");
  const json = await Bun.file(file).json();
  const [[first], [second]] = Object.entries(json.model.vocab as Record<string, number>).sort(
    (a, b) => a[1] - b[1],
  ) as [[string, number], [string, number]];
  [json.model.vocab[first], json.model.vocab[second]] = [json.model.vocab[second], json.model.vocab[first]];
  writeFileSync(file, JSON.stringify(json));
  const found = await run("sample", ["next", "3>", "--with", "other", "-q"]);
  expect([found.code, found.err]).toEqual([2, expect.stringContaining("to other")]);
  const alone = await run("sample", ["next", "3>", "--ensemble", "bayes", "-q"]);
  expect([alone.code, alone.err]).toEqual([2, expect.stringContaining("--with")]);
});

test("models write one after the other: each goes on where the other stopped", async () => {
  writeFileSync(at("letters.jsonl"), lines(Array.from({ length: 8 }, () => ({ text: "12abcdefgh" }))));
  const usual = ["--init", "config.json", "--tokenizer", "byte", "--data", "letters.jsonl", "--lr", "0.01", "-q"];
  expect((await run("train", [...usual, "--steps", "60", "-o", "letters"])).code).toBe(0);
  const answer = async (model: string, prompt: string, ...more: string[]) =>
    JSON.parse((await run("sample", [model, prompt, "--json", "-q", ...more])).text).text as string;
  const first = await answer("next", "3>", "-m", "1");
  const then = await answer("letters", `3>${first}`, "-m", "4");
  expect(then).not.toBe("");
  const both = ["--with", "letters", "--ensemble", "switch"];
  expect(await answer("next", "3>", "-m", "5", ...both, "--switch-at", "1")).toBe(first + then);
  expect(await answer("next", "3>", "-m", "4", ...both, "--switch-at", "0")).toBe(
    await answer("letters", "3>", "-m", "4"),
  );
  expect(await answer("next", "3>", "-m", "4", ...both, "--switch-at", "9")).toBe(
    await answer("next", "3>", "-m", "4"),
  );
}, 120_000);

test("refuses places of a switch that do not fit the models", async () => {
  const both = ["next", "3>", "--with", "next", "--with", "next", "--ensemble", "switch", "-q"];
  const refused = async (...more: string[]) => {
    const { code, err } = await run("sample", [...both, ...more]);
    return `${code} ${err}`;
  };
  expect(await refused()).toContain("2 sample: --ensemble switch needs one --switch-at for each --with");
  expect(await refused("--switch-at", "3")).toContain("has 1 for 2");
  expect(await refused("--switch-at", "3,3")).toContain("3 comes after 3");
});
