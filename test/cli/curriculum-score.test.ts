/** `curriculum score`, and orderings that go by the losses of its file. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { DATA, openLab, RUN } from "./curriculum-lab.ts";

const lab = openLab();

async function run(line: string): Promise<string> {
  const { text, err, code } = await lab.run(line);
  expect([line, code, err]).toEqual([line, 0, ""]);
  return text;
}

const rowsOf = (text: string): { loss: number | null }[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

test("rows get their loss, and an ordering goes by it in the place of its own", async () => {
  const told = JSON.parse(await run("score model --data a.jsonl -q --json -o scored.jsonl"));
  const rows = rowsOf(lab.read("scored.jsonl"));
  expect(told).toMatchObject({ file: "scored.jsonl", rows: 16 });
  expect(rows.map(({ loss, ...row }) => row)).toEqual(rowsOf(lab.read("a.jsonl")));
  const mean = rows.reduce((sum, { loss }) => sum + loss!, 0) / rows.length;
  expect(mean).toBeCloseTo(told.mean, 5);
  // The model's own losses and those of the file are the same, and the training too; others make another one.
  const trained = async (more: string, out: string) => {
    await run(`model --data a.jsonl ${RUN} --method quality --subset 0.25 --steps 2 ${more} -o ${out}`);
    return out;
  };
  const own = await trained("", "own.safetensors");
  expect(await lab.apart(own, await trained("--scores scored.jsonl", "same.safetensors"))).toBe(0);
  const turned = rows.map(({ loss, ...row }) => JSON.stringify({ ...row, loss: -loss! }));
  writeFileSync(lab.at("turned.jsonl"), `${turned.join("\n")}\n`);
  expect(await lab.apart(own, await trained("--scores turned.jsonl", "other.safetensors"))).toBeGreaterThan(1e-3);
}, 40_000);

test("refuses scores that are of other rows, or of no use", async () => {
  for (const [line, message] of [
    [
      `model --data b.jsonl --data a.jsonl ${RUN} --method quality --scores scored.jsonl`,
      "has 16 rows, and --data has",
    ],
    [`model --data a.jsonl ${RUN} --method quality --scores a.jsonl`, "a.jsonl:1: expected a row with its loss"],
    [`model ${DATA} ${RUN} --scores scored.jsonl`, "--method stratified goes by no losses of the start"],
    [`model --data a.jsonl ${RUN} --method length --scores scored.jsonl`, "--method length goes by no losses"],
    ["score model --data a.jsonl --overflow split", "--overflow split makes several"],
  ] as const) {
    const { code, err } = await lab.run(`${line.replace(" -q", "")} -q -o never.safetensors`);
    expect([code, err.includes(message) || err]).toEqual([2, true]);
  }
}, 40_000);
