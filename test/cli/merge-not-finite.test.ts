/** Commands that copy tensors or make them one by one say that values of the result are not finite. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResultWatch } from "../../src/merge/finite.ts";
import { json, writeTiny } from "../merge/experts/models.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000); // the machine may be busy

const folder = mkdtempSync(join(tmpdir(), "ingot-not-finite-"));
afterAll(() => rmSync(folder, { recursive: true }));
await writeTiny(folder, "base", json("llama"), 3);
cpSync(join(folder, "base"), join(folder, "broken"), { recursive: true });

/** Puts an infinity into the first value of the embedding. */
function breakTable(file: string): void {
  const bytes = readFileSync(file);
  const header = Number(bytes.readBigUInt64LE(0));
  const { data_offsets } = JSON.parse(bytes.toString("utf8", 8, 8 + header))["model.embed_tokens.weight"];
  bytes.writeFloatLE(Number.POSITIVE_INFINITY, 8 + header + data_offsets[0]);
  writeFileSync(file, bytes);
}
breakTable(join(folder, "broken", "model.safetensors"));
writeFileSync(join(folder, "rows.jsonl"), '{"text": "abc"}\n');

test.each([
  ["moe base --experts 2 -o good", ""],
  ["moe broken --experts 2 -o mixture", "1 infinity"],
  ["dense mixture -o dense", "1 infinity"],
  ["trim broken --data rows.jsonl -o trimmed", "1 infinity"],
  ["transplant broken base --approximate zero -o transplanted", "1 infinity"],
])("%s", async (line, count) => {
  const { code, err } = await runScript("merge", line.split(" "), folder);
  expect(code, err).toBe(0);
  if (count === "") expect(err).not.toContain("finite");
  else expect(err).toMatch(new RegExp(`warning: the result has values that are not finite: .*embed_tokens.*${count}`));
});

test("pieces of a tensor are counted together; integers have no such values", () => {
  const watch = new ResultWatch();
  for (const value of [1, Number.NaN, Number.NaN])
    watch.look({ name: "a", dtype: "F32" }, new Uint8Array(Float32Array.of(value, 2).buffer));
  watch.look({ name: "b", dtype: "I32" }, new Uint8Array(8).fill(255));
  expect(watch.remarks()).toEqual(["the result has values that are not finite: a (2 NaN)"]);
});
