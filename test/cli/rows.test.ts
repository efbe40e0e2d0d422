/** Rows through the command line: the same training from every kind of file, and from tokens that were kept. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { serveHub } from "../checkpoint/hub/fixture.ts";
import { runScript, runShell } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(180_000);

let folder: string;
const at = (name: string) => join(folder, name);
const ASKED = ["2+2=", "3+3=", "a, b", 'say "hi"'];
const pairs = ASKED.map((ask, i) => ({ ask, reply: ` ${i}!` }));
const FEW = ["--steps", "2", "--batch-size", "2", "--max-length", "32", "--save-every", "0", "-q"];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-rows-"));
  const config = { ...TINY_TEXT.llama, vocab_size: 264, hidden_size: 12, num_hidden_layers: 1, head_dim: 4 };
  writeFileSync(at("tiny.json"), JSON.stringify(config));
  const hand = pairs.map(({ ask, reply }) => ({ prompt: ask, completion: reply }));
  const lines = (rows: object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  writeFileSync(at("rows.jsonl"), lines(hand));
  writeFileSync(at("columns.jsonl"), lines(pairs.map((row) => ({ ...row, text: null, more: 1 }))));
  writeFileSync(at("list.json"), JSON.stringify(hand, null, 2));
  writeFileSync(at("packed.jsonl.gz"), gzipSync(lines(hand)));
  writeFileSync(at("packed.zst"), zstdCompressSync(JSON.stringify(hand)));
  const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;
  writeFileSync(at("t.csv"), `ask,reply\n${pairs.map(({ ask, reply }) => `${cell(ask)},${reply}`).join("\n")}\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The weights after two steps on a data set; `where` are variables of the environment. */
async function trained(data: string, more = "", where = ""): Promise<string> {
  const given = `--init tiny.json --tokenizer byte --data 'rows=${data}' ${FEW.join(" ")} ${more}`;
  const { code, err } = await runShell(`${where} $TRAIN ${given} -o out.safetensors`, folder);
  expect([code, err]).toEqual([0, ""]);
  const file = readFileSync(at("out.safetensors"));
  rmSync(at("out.safetensors"));
  return file.subarray(8 + Number(file.readBigUInt64LE())).toString("hex");
}

test("every kind of file gives the weights of the same rows as JSON lines", async () => {
  const wanted = await trained("rows.jsonl");
  for (const name of ["list.json", "packed.jsonl.gz", "packed.zst"]) expect(await trained(name)).toBe(wanted);
  const columns = "--columns prompt=ask,completion=reply";
  for (const name of ["columns.jsonl", "t.csv"]) expect(await trained(name, columns)).toBe(wanted);
  expect(wanted.length).toBeGreaterThan(1000);
});

test("a data set of the Hub does, too", async () => {
  const columnData = (["ask", "reply"] as const).map((name) => ({
    name: name === "ask" ? "prompt" : "completion",
    data: pairs.map((row) => row[name]),
    type: "STRING" as const,
  }));
  const content = new Uint8Array(parquetWriteBuffer({ columnData }));
  const hub = await serveHub({ "default/train/0000.parquet": content }, "org/rows", "datasets");
  hub.revisions = ["refs/convert/parquet"];
  try {
    const where = `HF_HOME='${folder}' HF_ENDPOINT=${hub.endpoint} HF_HUB_OFFLINE= HF_HUB_CACHE=`;
    expect(await trained("hf:datasets/org/rows", "", where)).toBe(await trained("rows.jsonl"));
  } finally {
    hub.close();
  }
});

test("tokens that were kept give the same weights, and only a second run reads them", async () => {
  const rows = Array.from({ length: 300 }, (_, i) => JSON.stringify({ text: `${i} ${"x".repeat(30_000)}` }));
  writeFileSync(at("large.jsonl"), rows.join("\n"));
  const where = `INGOT_CACHE='${at("cache")}'`;
  const options = "--overflow truncate";
  const wanted = await trained("large.jsonl", `${options} --token-cache off`, where);
  expect(existsSync(at("cache/tokens"))).toBe(false);
  expect(await trained("large.jsonl", options, where)).toBe(wanted);
  const kept = readdirSync(at("cache/tokens"));
  expect(kept).toHaveLength(2);
  expect(await trained("large.jsonl", options, where)).toBe(wanted);
  expect(readdirSync(at("cache/tokens"))).toEqual(kept);
});

test("what a row lacks is said with what to do", async () => {
  writeFileSync(at("odd.jsonl"), '{"query": "a", "response": "b"}\n');
  const argv = ["--init", "tiny.json", "--tokenizer", "byte", "--data", "odd.jsonl", ...FEW, "-o", "o.safetensors"];
  const unknown = await runScript("train", argv, folder);
  expect([unknown.code, unknown.err]).toEqual([
    2,
    expect.stringContaining("--columns prompt=query,completion=response"),
  ]);
  const missing = await runScript("train", [...argv, "--columns", "prompt=query,completion=responce"], folder);
  expect([missing.code, missing.err]).toEqual([2, expect.stringContaining("odd.jsonl")]);
  expect(await trained("odd.jsonl", "--columns prompt=query,completion=response")).toHaveLength(
    (await trained("rows.jsonl")).length,
  );
});
