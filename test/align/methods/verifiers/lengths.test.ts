/** Rewards that depend on lengths: length, cosine-length, group-length, adaptive-length, overlong, repetition. */
import { expect, test } from "bun:test";
import { complaint, judged } from "../../answered.ts";

const ROW = { prompt: "q", answer: "4" };
const of = (tokens: number, answer = "4") => [answer, { tokens }] as const;

test("length falls from 1 to 0 on a line, or as half a cosine", async () => {
  const answers = [of(0), of(25), of(50), of(100), of(1000)];
  expect(await judged("length:100", ROW, answers)).toEqual([1, 0.75, 0.5, 0, 0]);
  const cosine = await judged("length:100,cosine", ROW, answers);
  const expected = [1, (1 + Math.SQRT1_2) / 2, 0.5, 0, 0];
  for (const [i, value] of expected.entries()) expect(cosine[i]!).toBeCloseTo(value, 12);
  expect(await judged("length:4,unit=characters", ROW, ["", "ab", "\u{1F600}\u{1F600}"])).toEqual([1, 0.5, 0.5]);
});

test("the limit of tokens stands in for a length that is left out", async () => {
  expect(await judged("length", ROW, [of(8)], { maxTokens: 32 })).toEqual([0.75]);
  expect(await complaint(judged("length", ROW, []))).toContain(
    "length: the longest length is not known | write it behind",
  );
  expect(await complaint(judged("length:unit=characters", ROW, [], { maxTokens: 32 }))).toContain("is not known");
});

test("cosine-length follows its formula, for right and wrong answers", async () => {
  const lengths = [0, 16, 32, 64, 80];
  const spec = "cosine-length:0.1,1.0,-1.0,-0.1,64";
  const right = await judged(
    spec,
    ROW,
    lengths.map((n) => of(n)),
  );
  const wrong = await judged(
    spec,
    ROW,
    lengths.map((n) => of(n, "5")),
  );
  for (const [i, n] of lengths.entries()) {
    const c = Math.cos(Math.PI * Math.min(1, n / 64));
    expect(right[i]!).toBeCloseTo(0.1 + 0.5 * 0.9 * (1 + c), 12);
    expect(wrong[i]!).toBeCloseTo(-0.1 + 0.5 * -0.9 * (1 + c), 12);
    expect(right[i]!).toBeGreaterThan(wrong[i]!);
  }
  expect(right).toEqual(right.toSorted((a, b) => b! - a!));
  expect(wrong).toEqual(wrong.toSorted((a, b) => a! - b!));
  expect(await judged(`${spec},by=number`, ROW, [of(0, "so 4")])).toEqual([1]);
  expect(await judged(spec, { prompt: "q" }, [of(0)])).toEqual([null]);
  expect(await complaint(judged("cosine-length:0.1,1,0.5,-0.1,64", ROW, []))).toContain("worth more than a right one");
  expect(await complaint(judged("cosine-length:max=4,by=exakt", ROW, []))).toContain(
    "by: unknown verifier exakt | did you mean exact?",
  );
});

test("group-length compares answers to one row with each other alone", async () => {
  const answers = [of(10), of(20), of(30), of(30, "5"), of(10, "5")];
  expect(await judged("group-length", ROW, answers)).toEqual([0.5, 0, -0.5, -0.5, 0]);
  const other = ["4", { tokens: 1000, place: "rows.jsonl:2" }] as const;
  expect(await judged("group-length", ROW, [...answers, other])).toEqual([0.5, 0, -0.5, -0.5, 0, 0]);
});

test("adaptive-length takes off what answers to easy prompts are too long, and nothing from those to hard ones", async () => {
  const spec = "adaptive-length:0.4,0.5,100";
  const lengths = [0, 25, 50, 100];
  const right = lengths.map((n) => of(n));
  const near = async (answers: Parameters<typeof judged>[2], wanted: readonly number[], by = spec) => {
    for (const [i, reward] of (await judged(by, ROW, answers)).entries()) expect(reward!).toBeCloseTo(wanted[i]!, 12);
  };
  // Of no difficulty: every token counts.
  await near(right, [1, 0.9, 0.8, 0.6]);
  // A quarter is wrong: half of the limit is needed.
  await near([...right.slice(1), of(100, "5")], [1, 1, 0.8, -0.2]);
  // Half is wrong: the last easy prompt has no penalty, and neither has a harder one.
  await near([of(25), of(100), of(100, "5"), of(0, "5")], [1, 1, 0, 0]);
  await near([of(100), of(100, "5"), of(100, "5"), of(100, "5")], [1, 0, 0, 0]);
  // Without a penalty it is what says which answers are right.
  await near([...right, of(100, "5")], [1, 1, 1, 1, 0], "adaptive-length:0,max=100");
  // Lengths beyond the limit are those of the limit, and other prompts are other groups.
  await near([of(1000), ["5", { tokens: 1, place: "rows.jsonl:2" }]], [0.6, 0]);
  expect(await judged("adaptive-length:max=8", { prompt: "q" }, [of(8)])).toEqual([null]);
  expect(await judged("adaptive-length:0.4", ROW, [of(8)], { maxTokens: 16 })).toEqual([0.8]);
  expect(await complaint(judged("adaptive-length", ROW, []))).toContain("the longest length is not known");
});

test("overlong is 0, a line, then -1", async () => {
  const answers = [0, 12, 13, 14, 16, 20].map((n) => of(n));
  expect(await judged("overlong:16,4", ROW, answers)).toEqual([0, 0, -0.25, -0.5, -1, -1]);
  expect(await judged("overlong", ROW, answers, { maxTokens: 20 })).toEqual([0, 0, 0, 0, 0, -1]);
  expect(await complaint(judged("overlong:4,16", ROW, []))).toContain(
    "overlong: cache is 16, more than max, which is 4",
  );
  expect(await complaint(judged("-0.5*overlong:16,4", ROW, []))).toContain(
    "has a weight below 0: it is 0 or less by itself",
  );
});

test("repetition counts n-grams that occurred before", async () => {
  expect(await judged("repetition:2", ROW, ["a b a b a", "a b c", "A a a", "a", ""])).toEqual([-0.5, 0, -0.5, 0, 0]);
});
