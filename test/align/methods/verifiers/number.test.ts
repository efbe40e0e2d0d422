import { expect, test } from "bun:test";
import { judged } from "../../answered.ts";

const row = (answer: string | number) => ({ prompt: "q", answer });

test("the last number counts, however it is written", async () => {
  const answers = ["1234.5", "so 1,234.50.", "= 1.2345e3", "5 - 1234.5", "1234", "-1234.5", "none", "1234.5 of 2"];
  expect(await judged("number", row("#### 1,234.50"), answers)).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
});

test("a sign counts where no number stands before it", async () => {
  expect(await judged("number", row(-5), ["-5", "\u22125", "12-5", "x=-5", "(-5)", "5"])).toEqual([1, 1, 0, 1, 1, 0]);
});

test("every digit of a long number counts", async () => {
  const long = "123456789012345678901234567890";
  expect(await judged("number", row(long), [long, `${long.slice(0, -1)}1`, "1.2345678901234568e29"])).toEqual([
    1, 0, 0,
  ]);
  expect(await judged("number:0.001", row(long), ["1.2345678901234568e29"])).toEqual([1]);
});

test("0.1 + 0.2 is 0.3", async () => {
  expect(await judged("number", row("0.3"), ["0.30", "0.30000000000000004"])).toEqual([1, 0]);
});

test("the tolerance is a part of the right number, or of 1", async () => {
  expect(await judged("number:0.01", row(200), ["202", "202.1", "198"])).toEqual([1, 0, 1]);
  expect(await judged("number:0.01", row("0.001"), ["0.011", "0.0111"])).toEqual([1, 0]);
});

test("first and only pick other numbers", async () => {
  expect(await judged("number:which=first", row(3), ["3 then 4", "4 then 3"])).toEqual([1, 0]);
  expect(await judged("number:which=only", row(3), ["it is 3", "3 or 4", "3 and 3"])).toEqual([1, 0, 0]);
});

test("rows without a number are not judged; hostile answers are wrong, and read in no time", async () => {
  expect(await judged("number", row("yes"), ["3"])).toEqual([null]);
  const hostile = ["9".repeat(200_000), "1e999", "1,".repeat(50_000), "-".repeat(100_000), "NaN", "Infinity", "\u0663"];
  expect(await judged("number", row(3), hostile)).toEqual(hostile.map(() => 0));
});
