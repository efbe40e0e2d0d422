/** `curriculum regmix`, as a user runs it. */
import { expect, test } from "bun:test";
import { DATA, openLab } from "./curriculum-lab.ts";

const lab = openLab();
const LINE = `regmix model ${DATA} --batch-size 4 --lr 0.02 --mixture-runs 8 --mixture-steps 4`;

interface Found {
  readonly groups: string[];
  readonly mixture: number[];
  readonly foretold: number;
  readonly trained: { mixture: number[]; loss: number; foretold: number }[];
}
const found = async (more: string) => {
  const { text, err, code } = await lab.run(`${LINE} ${more} -q`);
  expect([code, err.replace(/.*does not rank these mixtures.*\n/, "")]).toEqual([0, ""]);
  return JSON.parse(text) as Found;
};

test("more of the group that is held out is foretold to be better, and the same again for the seed", async () => {
  const aimed = await found("--eval-data a-held.jsonl --candidates 2000 --best-of 20");
  expect(aimed.groups).toEqual(["a", "b", "c"]);
  expect(aimed.mixture.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
  expect(aimed.mixture[0]!).toBeGreaterThan(Math.max(aimed.mixture[1]!, aimed.mixture[2]!));
  expect(aimed.trained).toHaveLength(8);
  expect(aimed.foretold).toBeLessThan(aimed.trained.reduce((sum, { loss }) => sum + loss, 0) / 8);
  expect(await found("--eval-data a-held.jsonl --candidates 2000 --best-of 20")).toEqual(aimed);
  const names = "--eval-data x=a-held.jsonl --eval-data y=b-held.jsonl";
  const other = await found(`${names} --aim y --law exponential --candidates 2000`);
  expect(other.mixture[1]!).toBeGreaterThan(Math.max(other.mixture[0]!, other.mixture[2]!));
}, 120_000);

test.each([
  ["", "regmix needs held-out rows"],
  ["--eval-data a-held.jsonl --aim b", "--aim b is no held-out group"],
  ["--eval-data a-held.jsonl --strengths 5,1", "--strengths 5,1 should be two numbers above 0, the least first"],
])("refuses %s", async (more, message) => {
  const { err, code } = await lab.run(`${LINE} ${more} -q`);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});
