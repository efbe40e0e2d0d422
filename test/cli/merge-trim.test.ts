/** `merge trim` from the shell: logits of the tokens that stay are those of the whole model, bit for bit. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { merge, readTensors, shell } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

const ROOT = join(import.meta.dir, "../..");
const GOLDENS = join(import.meta.dir, "../golden/tokenizer-merge/inputs");
let cwd: string;
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), "ingot-trim-"));
  for (const name of ["base", "a"]) cpSync(join(GOLDENS, name), join(cwd, name), { recursive: true });
  const rows = ["the model of the land", "a cat and the model<|im_end|>"].map((text) => JSON.stringify({ text }));
  writeFileSync(join(cwd, "rows.jsonl"), `${rows.join("\n")}\n`);
});
afterAll(() => rmSync(cwd, { recursive: true }));

const run = (argv: string) => merge(["trim", ...argv.split(" ")], { cwd });
const json = (path: string) => JSON.parse(readFileSync(join(cwd, path), "utf8"));

function dump(model: string): Map<string, { shape: readonly number[]; floats: Float32Array; data: Uint8Array }> {
  const script = join(ROOT, "scripts/evaluate.ts");
  const child = Bun.spawnSync(
    [
      process.execPath,
      script,
      model,
      "--data",
      "rows.jsonl",
      "--metric",
      "loss",
      "--dump",
      `${model}.safetensors`,
      "-q",
    ],
    { cwd },
  );
  expect([child.exitCode, child.stderr.toString()]).toEqual([0, ""]);
  return readTensors(readFileSync(join(cwd, `${model}.safetensors`)));
}

test("logits of the tokens that stay are the same bits, and the result is smaller", async () => {
  // The ids that the config states are those of other tokens, as the goldens have it, so the ends are taken out.
  writeFileSync(
    join(cwd, "a/config.json"),
    JSON.stringify({ ...json("a/config.json"), bos_token_id: 0, eos_token_id: 1 }),
  );
  const { code, text } = await run("a --data rows.jsonl --json -o trimmed/");
  expect(code).toBe(0);
  const told = JSON.parse(text);
  expect(told).toMatchObject({ rows: 2, changed: 0, before: 68 });
  const [whole, own] = [json("a/tokenizer.json").model.vocab, json("trimmed/tokenizer.json").model.vocab] as Record<
    string,
    number
  >[];
  const added = json("a/tokenizer.json").added_tokens as { content: string; id: number }[];
  const oldId = new Map([...Object.entries(whole!), ...added.map(({ content, id }) => [content, id] as const)]);
  const [before, after] = [dump("a"), dump("trimmed")];
  const logits = (of: typeof before) => [...of].find(([, { shape }]) => shape.at(-1)! > 20)![1];
  const [a, b] = [logits(before), logits(after)];
  const [wide, narrow] = [a.shape.at(-1)!, b.shape.at(-1)!];
  expect([wide, narrow]).toEqual([68, told.height]);
  const places = a.floats.length / wide;
  expect(b.floats.length / narrow).toBe(places);
  expect(places).toBeGreaterThan(10);
  for (const [token, id] of Object.entries(own!))
    for (let place = 0; place < places; place++)
      expect(b.floats[place * narrow + id]!).toBe(a.floats[place * wide + oldId.get(token)!]!);
});

test("a pipe, a file and a folder have the same tensors; rows may come through a pipe", async () => {
  const piped = await shell("$MERGE a --method passthrough | $MERGE trim --data rows.jsonl > p.safetensors", cwd);
  expect(piped.code).toBe(0);
  const rows = await shell("cat rows.jsonl | $MERGE trim a --data - -o q.safetensors", cwd);
  expect([rows.code, rows.err]).toEqual([0, expect.stringContaining("rows from a pipe are read once")]);
  const folder = readTensors(readFileSync(join(cwd, "trimmed/model.safetensors")));
  for (const file of ["p", "q"])
    for (const [name, { data }] of readTensors(readFileSync(join(cwd, `${file}.safetensors`))))
      expect([file, name, data]).toEqual([file, name, folder.get(name)!.data]);
});

test("what cannot be done is refused with a word", async () => {
  const refused = async (argv: string, code = 2) => {
    const found = await run(`${argv} -o refused/`);
    expect([argv, found.code]).toEqual([argv, code]);
    return found.err;
  };
  expect(await refused("a")).toContain("nothing says which tokens stay\n  hint: give --data rows.jsonl");
  expect(await refused("a --keep-tokens none.txt")).toContain("--keep-tokens none.txt cannot be read (ENOENT)");
  writeFileSync(join(cwd, "bytes.txt"), Uint8Array.of(0xff, 0xfe));
  expect(await refused("a --keep-tokens bytes.txt")).toContain("it is no text in UTF-8");
  expect(await refused("a --data rows.jsonl --min-count 0")).toContain("--min-count");
  cpSync(join(cwd, "base/model.safetensors"), join(cwd, "alone/model.safetensors"));
  expect(await refused("alone/model.safetensors --data rows.jsonl")).toContain("has no tokenizer.json");
  const told = await run("a --data rows.jsonl --min-count 3 --dry-run");
  expect(told.text).toContain("of 68 rows: ");
  expect(told.err).toContain("2 rows cut into other tokens than before, as --min-count asks");
});
