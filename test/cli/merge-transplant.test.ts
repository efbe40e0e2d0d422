/** `merge transplant` from the shell: what it writes, says and refuses. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { merge, readTensors, shell, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

const GOLDENS = join(import.meta.dir, "../golden/tokenizer-merge/inputs");
let cwd: string;
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), "ingot-transplant-"));
  for (const name of ["base", "a", "b"]) cpSync(join(GOLDENS, name), join(cwd, name), { recursive: true });
});
afterAll(() => rmSync(cwd, { recursive: true }));

const run = (argv: string) => merge(["transplant", ...argv.split(" ")], { cwd });
const tensors = (folder: string) => readTensors(readFileSync(join(cwd, folder, "model.safetensors")));
const json = (path: string) => JSON.parse(readFileSync(join(cwd, path), "utf8"));
const [TABLE, HEAD] = ["model.embed_tokens.weight", "lm_head.weight"];

test("a model under its own tokenizer keeps every bit; what it said is in its history", async () => {
  const { code, err } = await run("base base --approximate zero -o same/");
  expect([code, err]).toEqual([0, expect.stringContaining("merge: lm_head.weight             60     0     0       0")]);
  const [before, after] = [tensors("base"), tensors("same")];
  for (const [name, { data }] of before) expect([name, after.get(name)!.data]).toEqual([name, data]);
  expect(json("same/config.json")).toEqual(json("base/config.json"));
});

test("has the donor's files, ids and rows, whichever way it is written", async () => {
  expect((await run("base b --terms 3 --pad-to-multiple-of 8 --json -o moved/")).code).toBe(0);
  const piped = await shell("$MERGE transplant base b --terms 3 --pad-to-multiple-of 8 > moved.safetensors", cwd);
  expect(piped.code).toBe(0);
  const [folder, file] = [tensors("moved"), readTensors(readFileSync(join(cwd, "moved.safetensors")))];
  for (const [name, { data }] of folder) expect([name, file.get(name)!.data]).toEqual([name, data]);
  expect(folder.get(TABLE)!.shape).toEqual([64, 8]);
  expect(json("moved/config.json").vocab_size).toBe(64);
  expect(json("moved/tokenizer.json")).toEqual(json("b/tokenizer.json"));
  const again = await run("base - --approximate subword -o x.safetensors --dry-run --json");
  expect(again.code).toBe(2); // an empty pipe
  const through = await shell(
    "$MERGE transplant - b --terms 3 --pad-to-multiple-of 8 -o p.safetensors < base/model.safetensors",
    cwd,
  );
  expect([through.code, through.err]).toEqual([2, expect.stringContaining("- has no tokenizer.json")]);
});

test("a model that comes through a pipe gives the same tables", async () => {
  const made = await shell(
    "$MERGE base --method passthrough | $MERGE transplant - b -k 3 --pad-to-multiple-of 8 -o streamed/",
    cwd,
  );
  expect([made.code, made.err]).toEqual([0, expect.stringContaining("streamed/")]);
  const [folder, streamed] = [tensors("moved"), tensors("streamed")];
  for (const [name, { data }] of folder) expect([name, streamed.get(name)!.data]).toEqual([name, data]);
});

test("a tied model stays tied, and a tied donor answers for its head", async () => {
  for (const name of ["base", "b"]) {
    const made = [...tensors(name)]
      .filter(([tensor]) => tensor !== HEAD)
      .map(([tensor, { dtype, shape, data }]) => ({
        name: tensor,
        dtype: dtype as Dtype,
        shape,
        bytes: data.length,
        data,
      }));
    const files = { "config.json": { ...json(`${name}/config.json`), tie_word_embeddings: true } };
    const texts = Object.fromEntries(
      ["tokenizer.json", "tokenizer_config.json"].map((file) => [file, readFileSync(join(cwd, name, file), "utf8")]),
    );
    writeModel(join(cwd, `tied-${name}`), made, { ...files, ...texts });
  }
  await run("base b --terms 3 -o untied/");
  expect((await run("tied-base b --terms 3 -o tied/")).code).toBe(0);
  const [tied, untied] = [tensors("tied"), tensors("untied")];
  expect(tied.has(HEAD)).toBe(false);
  expect(tied.get(TABLE)!.data).toEqual(untied.get(TABLE)!.data);
  expect((await run("base tied-b --terms 3 -o other/")).code).toBe(0);
  const other = tensors("other");
  expect(other.get(TABLE)!.data).toEqual(untied.get(TABLE)!.data);
  expect(other.get(HEAD)!.shape).toEqual([62, 8]);
  expect(other.get(HEAD)!.data).not.toEqual(untied.get(HEAD)!.data);
});

test("noise and scale change approximated rows alone", async () => {
  await run("base b --approximate mean -o mean/");
  await run("base b --approximate mean --new-vocab-noise 0.1 --new-vocab-scale 2 -o noisy/");
  const [plain, noisy] = [tensors("mean").get(HEAD)!, tensors("noisy").get(HEAD)!];
  const row = ({ floats }: { floats: Float32Array }, id: number) => [...floats.subarray(8 * id, 8 * id + 8)];
  expect(row(noisy, 1)).toEqual(row(plain, 1)); // "a", which both know
  const apart = row(noisy, 8).map((value, i) => value / 2 - row(plain, 8)[i]!); // "k", which the model lacks
  expect(apart.every((value) => value !== 0 && Math.abs(value) < 0.5)).toBe(true);
});

test("matches by prefix where it is asked to, table by table", async () => {
  const { text } = await run("base b --prefix-match embed --dry-run");
  expect(text).toContain("lm_head.weight             31     0     0       31");
  expect(text).toContain("model.embed_tokens.weight  31     0     18      13");
});

test("what cannot be done is refused with a word", async () => {
  const refused = async (argv: string) => {
    const { code, err } = await run(`${argv} -o refused/`);
    expect([argv, code]).toEqual([argv, 2]);
    return err;
  };
  expect(await refused("base")).toStartWith("merge: expected <model> <donor> but found base\n");
  expect(await refused("base b --approximate opm")).toContain("unknown approximation opm\n  hint: did you mean omp?");
  expect(await refused("base b --approximate zero -k 3")).toContain(
    "zero has no option -k\n  hint: approximations with --terms: common-interpolation, omp",
  );
  cpSync(join(cwd, "b"), join(cwd, "foreign"), { recursive: true });
  const file = json("b/tokenizer.json");
  const vocab = Object.fromEntries(Object.entries(file.model.vocab).map(([token, id]) => [`${token}§`, id]));
  writeFileSync(
    join(cwd, "foreign/tokenizer.json"),
    JSON.stringify({ ...file, added_tokens: [], model: { ...file.model, vocab, merges: [] } }),
  );
  expect(await refused("base foreign")).toContain(
    "no token of foreign is known to the model, and omp is made of those",
  );
  writeFileSync(join(cwd, "foreign/tokenizer.json"), JSON.stringify({ ...file, model: { type: "BPE", vocab: {} } }));
  rmSync(join(cwd, "foreign/tokenizer.json"));
  expect(await refused("base foreign")).toContain("foreign has no tokenizer.json that says which row is which token");
});
