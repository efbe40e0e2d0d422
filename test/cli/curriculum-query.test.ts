/** `curriculum query`, as a user runs it. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openLab } from "./curriculum-lab.ts";

const lab = openLab();
const FIT = "query fit --items 3 --asks 4 --difficulties 3,8 --query-steps 3 --particles 4 --games 2";
const history = (name: string, rows: readonly unknown[]): string => {
  writeFileSync(join(lab.folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return name;
};

test("a policy is the same for the seed, asks until all is asked, and names the best", async () => {
  const fitted = async (out: string, seed: number) => {
    const { err, code } = await lab.run(`${FIT} --seed ${seed} -q -o ${out}`);
    expect([code, err]).toEqual([0, ""]);
    const { text } = await lab.run(`query next ${out} --names a,b,c -q`);
    return JSON.parse(text) as { ask: string; chances: number[]; left: number };
  };
  const first = await fitted("one.safetensors", 1);
  expect(first.left).toBe(4);
  expect(first.chances.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
  expect(await fitted("same.safetensors", 1)).toEqual(first);
  const rows = [
    { item: "b", reward: 1 },
    { item: "a", reward: 0 },
    { item: "b", reward: true },
  ];
  const asked = async (file: string) =>
    JSON.parse((await lab.run(`query next one.safetensors --names a,b,c --history ${file} -q`)).text);
  const some = await asked(history("some.jsonl", rows));
  expect(some).toMatchObject({ best: "b", asked: 3, left: 1 });
  expect(["a", "b", "c"]).toContain(some.ask);
  expect(await asked(history("all.jsonl", [...rows, rows[1]]))).toMatchObject({ ask: null, best: "b", left: 0 });
  const tested = `query test one.safetensors --items 3 --difficulties 3,8 --query-steps 1 --particles 3 --games 2 -q`;
  const { policies } = JSON.parse((await lab.run(tested)).text);
  expect(policies.map(({ policy }: { policy: string }) => policy)).toEqual(["one.safetensors", "in turn"]);
  const many = history("many.jsonl", [...rows, ...rows]);
  const { err, code } = await lab.run(`query next one.safetensors --names a,b,c --history ${many} -q`);
  expect([code, err]).toEqual([2, expect.stringContaining("there are 6 answers, and the policy was learnt for 4")]);
}, 60_000);

test.each([
  ["query fit --items 10 --difficulties 5 -o x.safetensors", "the easiest problem of 10 items has 9.77"],
  ["query fit --items 3 --difficulties 8,3 -o x.safetensors", "--difficulties 8,3 do not grow"],
  ["query fit -o x.json", "the networks are one file of tensors"],
  ["query fit a.jsonl -o x.safetensors", "unexpected argument a.jsonl"],
  ["query ask", "query ask should be fit, next or test"],
  ["query next p.safetensors", "next needs the names of two items or more"],
  ["query next p.safetensors --names a,a", "--names names a twice"],
  ["query test", "test names no policy"],
  ["query next model --names a,b", "holds no query policy"],
])("refuses %s", async (line, message) => {
  const { err, code } = await lab.run(`${line} -q`);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});
