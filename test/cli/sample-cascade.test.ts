import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { lines, nextModel } from "./next-model.ts";

const { at, run } = await nextModel("sample-cascade");

test("a weak model writes what it is sure of, and asks a strong one for the rest", async () => {
  // The weak model has seen the easy half alone; the strong one both.
  const easy = Array.from({ length: 8 }, () => ({ text: "1234567890" }));
  const hard = Array.from({ length: 8 }, () => ({ text: "qzxwvqzxwv" }));
  writeFileSync(at("easy.jsonl"), lines(easy));
  writeFileSync(at("both.jsonl"), lines([...easy, ...hard]));
  const usual = ["--init", "config.json", "--tokenizer", "byte", "--lr", "0.01", "-q", "--steps", "80"];
  expect((await run("train", [...usual, "--data", "easy.jsonl", "-o", "weak"])).code).toBe(0);
  const taught = ["--teacher", "weak", "--method", "mowst", "--data", "both.jsonl", "-o", "strong"];
  expect((await run("distill", [...usual, ...taught])).code).toBe(0);
  const write = async (prompt: string, ...more: string[]) => {
    const found = await run("sample", ["--cascade", "weak/,strong/", prompt, "-m", "4", "--json", "-q", ...more]);
    expect([found.code, found.err]).toEqual([0, ""]);
    return JSON.parse(found.text);
  };
  const sure = await write("123");
  expect([sure.text, sure.decided]).toEqual(["4567", 4]);
  const unsure = await write("qzx", "--alpha", "8");
  expect((await write("qzx", "--alpha", "1e6")).text).toBe("wvqz");
  expect(unsure.strong).toBeGreaterThan(sure.strong);
  expect((await write("qzx", "--alpha", "0")).strong).toBe(0);
  expect((await write("qzx", "--cascade-by", "average", "--conf", "entropy")).strong).toBe(4);
  const told = await run("sample", ["--cascade", "weak/,strong/", "123", "-m", "4"]);
  expect(told.err).toMatch(/the strong model was asked for \d of 4 tokens/);
}, 90_000);

test("is refused for other than two models of one vocabulary, and beside --with", async () => {
  for (const [argv, message] of [
    [["--cascade", "next", "3>"], "--cascade next does not name two models"],
    [["--cascade", "next,next,next", "3>"], "does not name two models"],
    [["--cascade", "next,next", "--with", "next", "3>"], "two ways to write together"],
    [["next", "3>", "--alpha", "2"], "--cascade"],
    [["--cascade", "next,nowhere", "3>"], "nowhere"],
  ] as const) {
    const { code, err } = await run("sample", [...argv, "-q"]);
    expect([argv, code, err.includes(message), err]).toEqual([argv, 2, true, err]);
  }
  const plan = await run("sample", ["--cascade", "next,next", "3>", "-n"]);
  expect(plan.text).toMatch(/^model {7}next.*\nwith {8}next/);
}, 120_000);
