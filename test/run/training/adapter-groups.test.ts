/** Adapters that tell groups of the data apart refuse more, or fewer, than they know, and name the option. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-groups-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const config = { model_type: "llama", vocab_size: 16, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1 };
writeFileSync(
  join(folder, "lm.json"),
  JSON.stringify({ ...config, num_attention_heads: 2, max_position_embeddings: 8 }),
);
for (const [i, name] of ["a", "b"].entries())
  writeFileSync(
    join(folder, `${name}.jsonl`),
    [1, 2, 3, 4].map((n) => `${JSON.stringify({ input_ids: [n, n + i, 5, 6] })}\n`).join(""),
  );

const run = async (script: string, line: string) => {
  const argv =
    `${line} --steps 1 --batch-size 2 --save-every 0 -q --overwrite${line.includes("-o ") ? "" : " -o out"}`.split(" ");
  const { code, err } = await runScript(script, argv, folder);
  return code === 0 ? "" : err;
};
const one = (options: string) => run("train", `base --data a.jsonl --adapter ${options}`);
const two = (options: string) => run("train", `base --data a=a.jsonl --data b=b.jsonl --adapter ${options}`);
const stream = (options: string) => run("adapt", `base --tasks a.jsonl,b.jsonl --adapter ${options}`);

test("more groups or tasks than an adapter knows are refused by the option that raises them", async () => {
  expect(await run("train", "--init lm.json --data a.jsonl -o base")).toBe("");
  for (const type of ["poly", "mhr"]) {
    expect(await two(type)).toContain("2 groups (a, b), and the adapter tells 1 apart");
    expect(await stream(type)).toContain("give --poly-tasks 2 when the adapter is made");
  }
  expect(await stream("l2m")).toContain("give --l2m-tasks 2 when the adapter is made");
  for (const options of ["poly --poly-tasks 2", "poly --poly-task 0", "l2m --l2m-tasks 3"]) {
    expect(await two(options)).toBe("");
    expect(await stream(options)).toBe("");
  }
});

test("a group of general text that is not there is refused, and one behind which others come", async () => {
  expect(await one("mixda --mixda-general 1")).toContain(
    "--mixda-general 1 names a group of the data, counted from 0, and there are 1 group",
  );
  expect(await two("mixda --mixda-general 1")).toBe("");
  expect(await two("mixda --mixda-general 2")).toContain("there are 2 groups (a, b)");
  expect(await one("mixda")).toBe("");
});
