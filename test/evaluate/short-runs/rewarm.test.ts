/** The probe rewarm on a tiny model: which runs it does, with which states, and what it refuses. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-rewarm-"));
const words = (line: string) => line.split(" ").filter((word) => word !== "");
const run = (script: string, line: string) => runScript(script, words(line), folder);

beforeAll(async () => {
  const config = { model_type: "llama", hidden_size: 8, intermediate_size: 16, num_hidden_layers: 1 };
  const sizes = { num_attention_heads: 2, vocab_size: 16, max_position_embeddings: 16 };
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, ...sizes }));
  for (const [name, step] of [
    ["old", 1],
    ["new", 3],
  ] as const) {
    const rows = Array.from({ length: 24 }, (_, i) =>
      Array.from({ length: 6 + (i % 5) }, (_, t) => (i + step * t) % 16),
    );
    writeFileSync(join(folder, `${name}.jsonl`), rows.map((ids) => `${JSON.stringify({ input_ids: ids })}\n`).join(""));
  }
  const line = "--init config.json --data old.jsonl --steps 20 --lr 0.02 --batch-size 8 --keep-state -o base/ -q";
  expect((await run("train", line)).err).toBe("");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PROBE =
  "base --data old=old.jsonl --data new=new.jsonl --probe rewarm --rewarm-lr 0.02 --rewarm-steps 8 --rewarm-held 0.4 -q --json";

test("sweeps with fresh and with kept states, each run from the same start", async () => {
  const line = `${PROBE} --rewarm-peaks 1,2 --rewarm-warmups 0 --rewarm-every 2 --rewarm-state base-state`;
  const { err, text } = await run("evaluate", line);
  expect(err).toBe("");
  const { rows, spreads } = JSON.parse(text);
  const told = rows.map((row: { run: string; state: string; peak: number }) => `${row.run} ${row.state} ${row.peak}`);
  const kept = ["re-warmed kept 0.02", "re-warmed kept 0.04", "low kept 0.002", "high kept 0.02"];
  expect(told).toEqual([...kept.map((name) => name.replace("kept", "fresh")), "scratch fresh 0.02", ...kept]);
  const trained = rows.filter((row: { run: string }) => row.run !== "scratch");
  expect(new Set(trained.map((row: { old_before: number }) => row.old_before)).size).toBe(1);
  const [one, two, low, , scratch, keptOne] = rows;
  expect(scratch.old_before).toBeGreaterThan(one.old_before);
  expect(keptOne.new_after).not.toBe(one.new_after);
  // The new rows are learnt, more at the larger rate, and what was known of the old ones goes.
  expect(one.new_after).toBeLessThan(low.new_after);
  expect(two.old_rise).toBeGreaterThan(low.old_rise);
  expect(spreads).toEqual([{ model: "base", warmups: 0, peaks: Math.abs(one.new_after - two.new_after) }]);
});

test("refuses what it cannot do before a model is opened", async () => {
  for (const [more, message] of [
    ["--rewarm-new nothing", "--probe rewarm needs a group named nothing"],
    ["--data more=old.jsonl", "--probe rewarm reads an old and a new group, and not more"],
    ["--rewarm-state nowhere", "--rewarm-state nowhere holds no state of a run"],
    ["--metric loss", "--metric has no effect with --probe rewarm"],
  ] as const) {
    const { code, err } = await run("evaluate", `${PROBE} ${more}`);
    expect([code, err.includes(message), err]).toEqual([2, true, err]);
  }
});
