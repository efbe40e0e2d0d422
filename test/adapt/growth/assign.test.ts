/** Tasks that go to adapters by how their texts read. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assignTask, nextName } from "../../../src/adapt/growth/codebook.ts";
import { similarity, wordsOf } from "../../../src/adapt/growth/tf-idf.ts";
import { runScript } from "../../support/command.ts";

setDefaultTimeout(120_000);

describe("similarity", () => {
  test("words are runs of two letters, digits or underscores, in lower case", () => {
    expect(wordsOf("Add 12 + x_1, then a Größe!")).toEqual(["add", "12", "x_1", "then", "größe"]);
  });

  test("the cosine of two texts, by hand", () => {
    // Of three words, "shared" is in both texts and counts ln(3 / 3) + 1 = 1, the others ln(3 / 2) + 1.
    const own = Math.log(3 / 2) + 1;
    expect(similarity(["shared left"], ["shared right"])).toBeCloseTo(1 / (1 + own ** 2), 12);
    expect(similarity(["shared shared left"], ["shared right"])).toBeCloseTo(
      2 / (Math.hypot(2, own) * Math.hypot(1, own)),
      12,
    );
  });

  test("the same text is 1, no common word 0, and sets are the mean over all pairs", () => {
    expect(similarity(["one two"], ["two one"])).toBeCloseTo(1, 12);
    expect(similarity(["one two"], ["three four"])).toBe(0);
    expect(similarity(["one two", "three four"], ["one two"])).toBeCloseTo(0.5, 12);
    expect(similarity(["? !"], ["one two"])).toBe(0);
    expect(() => similarity([], ["one"])).toThrow("a set without texts");
  });
});

describe("a codebook", () => {
  const tasks = [["add the numbers"], ["sum up the numbers"], ["name the colour of the sky"]];
  const grown = (threshold: number) =>
    tasks.reduce<ReadonlyMap<string, readonly string[]>>(
      (codebook, texts) => assignTask(codebook, texts, { threshold, name: nextName(codebook) }).codebook,
      new Map(),
    );

  test("above 1 every task has an adapter, at 0 all have one, between alike ones share", () => {
    expect([...grown(1.1).keys()]).toEqual(["adapter-1", "adapter-2", "adapter-3"]);
    expect([...grown(0)]).toEqual([["adapter-1", tasks.flat()]]);
    const between = grown(0.2);
    expect([...between.keys()]).toEqual(["adapter-1", "adapter-2"]);
    expect(between.get("adapter-1")).toEqual(["add the numbers", "sum up the numbers"]);
  });

  test("names that are taken are passed over", () => {
    expect(nextName(new Map([["adapter-2", ["a"]]]))).toBe("adapter-3");
  });
});

describe("the command", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-assign-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const rows = (name: string, list: readonly unknown[]) =>
    writeFileSync(join(folder, name), list.map((row) => `${JSON.stringify(row)}\n`).join(""));
  rows("sums.jsonl", [
    { prompt: "Add 12 and 30.", completion: "42" },
    {
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Add 7 and 11." },
        { role: "assistant", content: "18" },
      ],
    },
  ]);
  rows("more.jsonl", [{ text: "Add 50 and 11." }]);
  rows("sky.jsonl", [{ prompt: "Which colour has the sky?", completion: "blue" }]);
  rows("ids.jsonl", [{ input_ids: [1, 2] }]);
  const run = (line: string) => runScript("adapt", `assign ${line}`.split(" "), folder);
  const read = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8"));

  test("begins a codebook, gives alike tasks to its adapters, adds new ones, and chooses for answers", async () => {
    expect((await run("sums.jsonl -q -o one.json")).err).toBe("");
    expect(read("one.json")).toMatchObject({ adapter: "adapter-1", is_new: true, similarities: [] });
    expect(read("one.json").adapters).toEqual([{ name: "adapter-1", texts: ["Add 12 and 30.", "Add 7 and 11."] }]);
    await run("sky.jsonl --codebook one.json --name colours -q -o two.json");
    expect(read("two.json")).toMatchObject({ adapter: "colours", is_new: true });
    await run("more.jsonl --codebook two.json --threshold 0.3 -q -o three.json");
    expect(read("three.json")).toMatchObject({ adapter: "adapter-1", is_new: false });
    expect(read("three.json").adapters[0].texts).toHaveLength(3);
    const chosen = JSON.parse((await run("more.jsonl --codebook two.json --choose -q")).text);
    expect(chosen.adapter).toBe("adapter-1");
    expect(chosen.adapters).toEqual(read("two.json").adapters);
  });

  test.each([
    ["ids.jsonl", "the row has no prompt and no text"],
    ["sky.jsonl --choose", "--choose takes an adapter of a codebook"],
    ["sky.jsonl --codebook none.json", "--codebook none.json cannot be read"],
    ["sky.jsonl --codebook odd.json", "--codebook odd.json has no adapters"],
  ])("%s is refused", async (line, message) => {
    writeFileSync(join(folder, "odd.json"), "{}");
    const { code, err } = await run(line);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });
});
