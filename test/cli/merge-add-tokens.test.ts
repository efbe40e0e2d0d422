/** `merge --add-tokens` from the shell: the tokenizer has them, and the tables have rows for them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadTokenizer } from "../../src/data/load-tokenizer.ts";
import { merge, readTensors } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

const GOLDENS = join(import.meta.dir, "../golden/tokenizer-merge/inputs");
let cwd: string;
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), "ingot-add-tokens-"));
  for (const name of ["base", "b"]) cpSync(join(GOLDENS, name), join(cwd, name), { recursive: true });
});
afterAll(() => rmSync(cwd, { recursive: true }));

const tensors = (folder: string) => readTensors(readFileSync(join(cwd, folder, "model.safetensors")));
const tokenizer = (folder: string) => {
  const files = ["tokenizer.json", "tokenizer_config.json"].map(
    (name) => [name, readFileSync(join(cwd, folder, name))] as const,
  );
  return loadTokenizer(new Map(files), folder);
};
const TABLES = ["model.embed_tokens.weight", "lm_head.weight"];

/** A row of a table. */
const row = ({ floats }: { floats: Float32Array }, id: number) => [...floats.subarray(8 * id, 8 * id + 8)];
const mean = (rows: readonly (readonly number[])[]) =>
  rows[0]!.map((_, c) => Math.fround(rows.reduce((sum, values) => sum + values[c]!, 0) / rows.length));

test("new rows are the mean of all, old ones stay, and the padding is counted", async () => {
  const argv = [
    "base",
    "--method",
    "passthrough",
    "--add-tokens",
    "<a>,<tool call>",
    "--add-special-tokens",
    "<|end|>",
  ];
  const { code, err } = await merge([...argv, "--pad-to-multiple-of", "8", "-o", "more"], { cwd });
  expect([code, err]).toEqual([0, expect.stringContaining("more")]);
  const [before, after] = [tensors("base"), tensors("more")];
  for (const name of TABLES) {
    const [old, own] = [before.get(name)!, after.get(name)!];
    expect(own.shape).toEqual([64, 8]);
    expect(own.data.subarray(0, old.data.length)).toEqual(old.data);
    const all = mean(Array.from({ length: 60 }, (_, id) => row(old, id)));
    for (let id = 60; id < 64; id++) expect(row(own, id)).toEqual(all);
  }
  expect(JSON.parse(readFileSync(join(cwd, "more/config.json"), "utf8")).vocab_size).toBe(64);
  const cut = await tokenizer("more");
  expect([cut.idOf("<a>"), cut.idOf("<tool call>"), cut.idOf("<|end|>")]).toEqual([60, 61, 62]);
  expect([...cut.encode("the<tool call>model<|end|>")]).toEqual([48, 61, 11, 31, 10, 62]);
  expect(cut.decode([48, 61, 62], { skipSpecial: true })).toBe("the<tool call>");
});

test("or the mean of the pieces that their text was cut into", async () => {
  const { code } = await merge(
    ["base", "--method", "passthrough", "--add-tokens", "landsat", "--new-rows", "pieces", "-o", "pieces"],
    { cwd },
  );
  expect(code).toBe(0);
  const pieces = [...(await tokenizer("base")).encode("landsat")];
  expect(pieces.length).toBeGreaterThan(1);
  const [before, after] = [tensors("base"), tensors("pieces")];
  for (const name of TABLES)
    expect(row(after.get(name)!, 60)).toEqual(mean(pieces.map((id) => row(before.get(name)!, id))));
  expect([...(await tokenizer("pieces")).encode("landsat")]).toEqual([60]);
});

test("or says what a digit at its place is worth, where tokens are read", async () => {
  const { code, err } = await merge(["base", "--method", "passthrough", "--numeric-tokens", "1.1", "-o", "numeric"], {
    cwd,
  });
  expect([code, err]).toEqual([0, expect.stringContaining("numeric")]);
  const [before, after] = [tensors("base"), tensors("numeric")];
  const cut = await tokenizer("numeric");
  const spelt = cut.encode("_-__9_0__5_-1_");
  expect([...spelt]).toEqual(["_-_", "_9_0_", "_5_-1_"].map((token) => cut.idOf(token)!));
  expect(cut.decode(spelt, { skipSpecial: true })).toBe("_-__9_0__5_-1_");
  for (const name of TABLES) {
    const old = before.get(name)!;
    const values = [...old.floats.subarray(0, 480)];
    const all = mean(Array.from({ length: 60 }, (_, id) => row(old, id)));
    const middle = values.reduce((a, b) => a + b, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / values.length);
    const reach = name === TABLES[0] ? 10 * deviation : 0;
    const denominators = [1, -1, 3, -3, 5, -5, 7, -7];
    for (const [place, worth] of [0, 1, 0.5 / 9].entries())
      expect(row(after.get(name)!, spelt[place]!)).toEqual(
        denominators.map((d, c) => expect.closeTo(all[c]! + (reach * worth) / d, 5)),
      );
  }
  const odd = await merge(["base", "--method", "passthrough", "--numeric-tokens", "11", "-o", "odd"], { cwd });
  expect(odd.err).toContain("--numeric-tokens 11 is not digits before the point");
});

test("beside a union of several models", async () => {
  const argv = [
    "base",
    "b",
    "--method",
    "linear",
    "--tokenizer-source",
    "union",
    "--add-tokens",
    "<new>",
    "-o",
    "union",
  ];
  const { code } = await merge(argv, { cwd });
  expect(code).toBe(0);
  const id = (await tokenizer("union")).idOf("<new>")!;
  expect(tensors("union").get("lm_head.weight")!.shape[0]).toBe(id + 1);
});

test("what cannot be added is refused, and what is there already told", async () => {
  const added = async (...argv: string[]) => merge(["base", "--method", "passthrough", ...argv, "-o", "x"], { cwd });
  for (const [argv, message] of [
    [["--add-tokens", "<a>,,<b>"], "--add-tokens <a>,,<b> names a token of no text"],
    [["--add-tokens", "<a>", "--add-special-tokens", "<a>"], "<a> is added twice"],
    [["--new-rows", "pieces"], "--new-rows"],
    [["--pad-to-multiple-of", "8"], "--pad-to-multiple-of"],
  ] as const) {
    const { code, err } = await added(...argv);
    expect([argv, code, err]).toEqual([argv, 2, expect.stringContaining(message)]);
  }
  expect((await added("--add-tokens", "the")).err).toContain("the is a token of base already, whose row stays");
});
