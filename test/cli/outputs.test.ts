/** What a run would destroy is refused before work: results of earlier runs, inputs, files of checkpoints. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { DECODER, merge, shell, tensorsOf, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-outputs-"));
  for (const [i, name] of ["a", "b", "done", "one/x.safetensors"].entries())
    writeModel(at(name), tensorsOf(DECODER, i + 1));
  writeModel(at("odd/weights.safetensors"), tensorsOf(DECODER, 7));
  writeFileSync(at("odd/config.json"), "{}");
  mkdirSync(at("index"));
  writeFileSync(at("index/model.safetensors.index.json"), "{}");
  mkdirSync(at("pickled"));
  writeFileSync(at("pickled/config.json"), "{}");
  writeFileSync(at("pickled/pytorch_model.bin"), "x");
  symlinkSync("a", at("link"));
  linkSync(at("one/x.safetensors"), at("hard.safetensors"));
  writeFileSync(at("rows.jsonl"), '{"text":"a"}\n');
  writeFileSync(at("merge.yml"), "merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}]\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Name and bytes of all files. */
const snapshot = () =>
  new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [file, Bun.hash(readFileSync(file))]),
  );

/** Runs a script that must be refused and leave everything as it was; gives what it says, without the hint. */
async function refused(script: string, line: string): Promise<string> {
  const before = snapshot();
  const { code, err, out } = await runScript(script, line.split(" "), folder);
  expect({ code, out }).toEqual({ code: 2, out: new Uint8Array() });
  expect(snapshot()).toEqual(before);
  return err;
}

const LINEAR = "--method linear --weight 1 -q";
const REPLACE = "  hint: write to another place, or give --overwrite to replace it once the result is whole\n";

describe("a checkpoint", () => {
  test("does not replace what the run reads, by whatever name", async () => {
    const read = (out: string, as = "") => `merge: --out: ${out} is read by this run${as && `, as ${as}`}\n${REPLACE}`;
    for (const out of ["a", "a/"]) expect(await refused("merge", `a b ${LINEAR} -o ${out}`)).toBe(read(out));
    for (const out of ["./b/../a", "link", "link/"])
      expect(await refused("merge", `a b ${LINEAR} -o ${out}`)).toBe(read(out, "a"));
    expect(await refused("merge", `a ${LINEAR} --base b -o b/`)).toBe(read("b/"));
    expect(await refused("merge", `one/x.safetensors a ${LINEAR} -o hard.safetensors`)).toBe(
      read("hard.safetensors", "one/x.safetensors"),
    );
    const piped = await shell(`$MERGE - b ${LINEAR} -o one/x.safetensors < one/x.safetensors`, folder);
    expect(piped.err).toBe(read("one/x.safetensors", "stdin"));
    expect(await refused("merge", `a b ${LINEAR} -o link/model.safetensors`)).toBe(read("link/model.safetensors"));
    expect(await refused("evaluate", "a --data rows.jsonl --dump a/model.safetensors --overwrite")).toBe(
      "evaluate: --dump: a/model.safetensors is read by this run\n  hint: it would be lost; write to another file\n",
    );
    expect(await refused("train", "a --data rows.jsonl -q -o ./a")).toBe(read("./a", "a").replace("merge", "train"));
    expect(await refused("distill", "--teacher b --student a --data rows.jsonl -o b")).toContain(
      "b is read by this run",
    );
  });

  test("does not replace a finished result, nor hide one", async () => {
    const found: [string, string][] = [
      ["done", "done/model.safetensors"],
      ["one/x.safetensors", "one/x.safetensors"],
      ["a/model.safetensors", "a/model.safetensors"],
      ["odd", "odd/weights.safetensors"],
      ["index/", "index/model.safetensors.index.json"],
      ["index/model.safetensors", "index/model.safetensors.index.json"],
      ["done/adapter_model.safetensors", "done/model.safetensors"],
      ["pickled", "pickled/pytorch_model.bin"],
    ];
    for (const [out, what] of found)
      expect(await refused("merge", `b ${LINEAR} -o ${out}`)).toBe(
        `merge: --out: ${what} is there already\n${REPLACE}`,
      );
    expect(await refused("merge", "merge.yml -q -o a")).toContain("--out: a/model.safetensors is there already");
  });

  test("is refused in a dry run as in a real one, and by every script", async () => {
    const lines = {
      merge: "b --method linear --weight 1 -n -o done",
      train: "a --data rows.jsonl --state s --resume -o done",
      unlearn: "a --forget rows.jsonl --retain rows.jsonl -o done",
      curriculum: "a --data rows.jsonl -o done",
      distill: "cache --teacher a --data rows.jsonl -o one/x.safetensors",
      evaluate: "a --data rows.jsonl --dump one/x.safetensors -o table.txt",
    };
    for (const [script, line] of Object.entries(lines))
      expect(await refused(script, line)).toContain(" is there already\n");
    const best = "a --data rows.jsonl --eval-data rows.jsonl -o new --best";
    expect(await refused("train", `${best} done`)).toContain("--best: done/model.safetensors is there already\n");
    expect(await refused("train", `${best} ./new/`)).toContain("--best and --out both name ./new/\n");
  });

  test("goes where nothing is, to an empty file or a bare folder; and anywhere with --overwrite", async () => {
    mkdirSync(at("notes"));
    writeFileSync(at("notes/model-00001-of-00002.safetensors"), "a shard of a run that died");
    writeFileSync(at("notes/config.json"), "{}");
    writeFileSync(at("empty.safetensors"), "");
    const write = async (line: string) => {
      const { code, err } = await merge(`a b ${LINEAR} ${line}`.split(" "), { cwd: folder });
      expect({ code, err }).toEqual({ code: 0, err: expect.any(String) });
    };
    for (const out of ["new.safetensors", "notes", "empty.safetensors"]) await write(`-o ${out}`);
    const whole = readFileSync(at("notes/model.safetensors"));
    writeModel(at("c"), tensorsOf(DECODER, 1));
    await write("--overwrite -o notes");
    expect(readFileSync(at("notes/model.safetensors"))).toEqual(whole);
    await merge(["c", "b", ...LINEAR.split(" "), "-o", "c/", "--overwrite"], { cwd: folder });
    expect(Bun.hash(readFileSync(at("c/model.safetensors")))).not.toBe(
      Bun.hash(readFileSync(at("a/model.safetensors"))),
    );
  });

  test("by shards: never over an input, nor beside an old result, which would pass for the new one", async () => {
    expect(await refused("merge", `a b ${LINEAR} --shard 1/3 -o a --overwrite`)).toBe(
      "merge: --out: a is read by this run\n  hint: the other shards need it whole; write to another place\n",
    );
    expect(await refused("merge", "merge.yml -q --shard 1/1 -o ./a --overwrite")).toContain(
      "--out: ./a is read by this run, as a\n",
    );
    expect(await refused("merge", `a b ${LINEAR} --shard 1/3 -o done`)).toContain(
      "done/model.safetensors is there already, of another checkpoint\n",
    );
    writeModel(at("old"), tensorsOf(DECODER, 9));
    const shard = (i: number, more = "") =>
      merge(`a b ${LINEAR} --shard ${i}/3 -o old ${more}`.trim().split(" "), { cwd: folder });
    expect((await shard(1, "--overwrite")).code).toBe(0);
    expect(existsSync(at("old/model.safetensors"))).toBe(false);
    for (const i of [3, 2, 1]) expect((await shard(i)).code).toBe(0);
    expect(readdirSync(at("old")).filter((name) => name.endsWith("safetensors")).length).toBe(3);
  });
});

describe("a text", () => {
  test("is never written over a checkpoint's file or what the run reads; another text is replaced", async () => {
    const part =
      "inspect: --out: a/config.json is a part of a checkpoint\n  hint: it would be lost; write to another file\n";
    expect(await refused("inspect", "b -o a/config.json")).toBe(part);
    expect(await refused("inspect", "b -o one/x.safetensors")).toContain("is a part of a checkpoint\n");
    expect(await refused("data", "addition --size 2 -o done/model.safetensors")).toContain(
      "is a part of a checkpoint\n",
    );
    expect(await refused("inspect", "a -o link/config.json")).toContain(
      "--out: link/config.json is read by this run\n",
    );
    expect(await refused("inspect", "b --log a/config.json")).toContain("--log: a/config.json is a part of");
    expect(await refused("inspect", "b -o both --log both")).toContain("--log and --out both name both\n");
    expect(await refused("evaluate", "a --data x=rows.jsonl -o ./rows.jsonl")).toContain("is read by this run");
    expect(await refused("evaluate", "a --data rows.jsonl -o rows.jsonl")).toContain("is read by this run");
    writeFileSync(at("a/report.txt"), "old");
    expect((await runScript("inspect", ["a", "-o", "a/report.txt"], folder)).code).toBe(0);
    expect(readFileSync(at("a/report.txt"), "utf8")).not.toBe("old");
    rmSync(at("a/report.txt"));
  });

  test("--overwrite is an option of scripts that write checkpoints; --yes points there", async () => {
    expect(await refused("merge", "a --yes")).toContain("--overwrite");
    expect(await refused("inspect", "a --overwrite")).toContain("--overwrite");
  });
});
