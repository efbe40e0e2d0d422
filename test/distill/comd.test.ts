/** Rounds of hard rows: what is mined, new prompts, and runs that are something simpler where nothing is hard. */
import { afterAll, describe, expect, test } from "bun:test";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { Random } from "../../src/data/random.ts";
import { mine } from "../../src/distill/methods/comd.ts";
import { augment, swapNumbers } from "../../src/distill/new-prompts.ts";
import { TEXT, Workshop } from "../cli/distill-models.ts";

test("hard rows are the largest gaps above the threshold, and no more than their share", () => {
  const gaps = [0.5, -0.2, 0.05, 0.9, 0.3, 0, -0.9, 0.5, 0.2, 0.1];
  const found = mine(gaps, { gap: 0.1, hard_share: 0.3 });
  expect(found.hard).toEqual([3, 0, 7]);
  expect(found.behind).toBe(5);
  expect([...found.hard, ...found.easy].toSorted((a, b) => a - b)).toEqual([...gaps.keys()]);
  expect(found.ahead).toEqual([1, 6]);
  expect(mine(gaps, { gap: 1e9, hard_share: 0.3 })).toMatchObject({ hard: [], behind: 0, ahead: [] });
});

describe("new prompts", () => {
  const tokenizer = byteTokenizer();
  const prompts = ["12+345=", "7*8=", "no number", "60-1="].map((text) => [...tokenizer.encode(text)]);
  const texts = (made: readonly (readonly number[])[]) => made.map((ids) => tokenizer.decode(ids));

  test("have numbers of hard ones in the places of their own", () => {
    const made = texts(swapNumbers(prompts, tokenizer, new Random(3)));
    expect(made.map((text) => text.replaceAll(/\d+/g, "n"))).toEqual(["n+n=", "n*n=", "n-n="]);
    for (const number of made.flatMap((text) => text.match(/\d+/g) ?? []))
      expect(["12", "345", "7", "8", "60", "1"]).toContain(number);
    expect(texts(swapNumbers(prompts, tokenizer, new Random(3)))).toEqual(made);
    expect(texts(swapNumbers(prompts, tokenizer, new Random(4)))).not.toEqual(made);
  });

  test("or ends that are sampled, each as long as what it replaces", async () => {
    const asked: string[][] = [];
    const spoken = {
      goOn: async (_: unknown, beginnings: readonly (readonly number[])[], counts: readonly number[]) => {
        asked.push(texts(beginnings));
        return counts.map((count) => new Array<number>(count).fill(65));
      },
    };
    const given = { spoken, teacher: null as never, tokenizer, seed: 1, key: "round 0" };
    const made = texts(await augment("sample", prompts, given));
    for (const [i, text] of made.entries()) {
      expect(text.length).toBe(prompts[i]!.length);
      const begun = asked[0]![i]!;
      expect(texts(prompts)[i]!.startsWith(begun) && begun.length > 0 && begun.length < text.length).toBe(true);
      expect(text).toBe(begun.padEnd(text.length, "A"));
    }
    expect(await augment("none", prompts, given)).toEqual([]);
  });
});

describe("runs", async () => {
  const shop = await Workshop.make();
  afterAll(() => shop.close());
  const line = `first-teacher --student student ${TEXT} --steps 6 --sample-tokens 5 --save-every 0`;

  test("where nothing is hard are sequence-level distillation, bit for bit", async () => {
    const { code, err } = await shop.distill(`${line} --method comd --gap 1e9 --rounds 3 -o rounds/`);
    expect([code, err]).toEqual([0, err]);
    await shop.distill(`${line} --method seq-kd --sample-temperature 0 -o plain/`);
    expect(await shop.apart("rounds/model.safetensors", "plain/model.safetensors")).toBe(0);
  });

  test("tell of every round, learn hard, new and easy rows, and differ from runs that learn all", async () => {
    await shop.distill(`${line} --method comd --gap 0 --rounds 3 --log mined.log -o mined/`);
    const steps = shop.steps("mined.log");
    expect(steps.map(({ round }) => round)).toEqual([1, 1, 2, 2, 3, 3]);
    for (const { hard, behind, rows, ahead } of steps) {
      expect(hard).toBe(Math.min(3, behind!)); // 0.3 of 12 rows
      expect(ahead! + behind!).toBe(12);
      expect(rows).toBe(3 * hard!);
    }
    expect(await shop.apart("mined/model.safetensors", "rounds/model.safetensors")).toBeGreaterThan(1e-4);
  });

  test.each([
    ["--method comd --on-policy 0.5", "comd chooses itself whose answers are learnt"],
    ["--method comd --pack --max-length 40", "comd makes batches of texts, a row for each"],
  ])("refuse %s", async (more, said) => {
    const { code, err } = await shop.distill(`${line} ${more} -o refused/`);
    expect([code, err]).toEqual([2, expect.stringContaining(said)]);
  });
});
