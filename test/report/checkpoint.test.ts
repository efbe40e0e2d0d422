/** `report` on a checkpoint draws how it came to be. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

setDefaultTimeout(60_000); // the machine may be busy

const cwd = mkdtempSync(join(tmpdir(), "ingot-report-checkpoint-"));
afterAll(() => rmSync(cwd, { recursive: true }));

test("steps and what they read are on the page; other forms are refused", async () => {
  const net = { model_type: "mlp", input_size: 16, hidden_sizes: [4], num_labels: 3 };
  writeFileSync(join(cwd, "net.json"), JSON.stringify(net));
  const run = (script: string, line: string) => runScript(script, line.split(" "), cwd);
  await run("data", "blobs --size 8 --classes 3 -o blobs.jsonl");
  await run("train", "--init net.json --data blobs.jsonl --steps 1 --save-every 0 -o a.safetensors");
  await run("train", "--init net.json --data blobs.jsonl --steps 1 --seed 1 --save-every 0 -o b.safetensors");
  await run("merge", "a.safetensors b.safetensors --method linear -o merged.safetensors");
  const { code, text } = await run("report", "merged.safetensors");
  expect(code).toBe(0);
  expect(text.match(/<g transform/g)!.length).toBe(5);
  expect(text).toContain("<summary>merged.safetensors: 3 steps</summary>");
  expect(text).toContain(">merge linear</text>");
  const refused = await run("report", "merged.safetensors --md");
  expect([refused.code, refused.err]).toEqual([
    2,
    expect.stringContaining("is a checkpoint, whose lineage is drawn on a page"),
  ]);
});
