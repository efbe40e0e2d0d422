/**
 * `merge` in real processes: one result whether it goes through a pipe, a file or a folder, in one piece or in shards.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileOf, readIndependently } from "../checkpoint/sample.ts";
import { DECODER, merge, readTensors, shell, tensorsOf, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
const models = [1, 2, 3].map((seed) => tensorsOf(DECODER, seed));
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-merge-"));
  for (const [i, name] of ["a", "b", "c"].entries()) writeModel(join(folder, name), models[i]!);
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (argv: string, stdin?: Uint8Array) => merge(argv.split(" "), { cwd: folder, stdin });
const bytesOf = (path: string): Uint8Array => new Uint8Array(readFileSync(join(folder, path)));
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Runs that must succeed; gives what went to stdout. */
async function done(argv: string, stdin?: Uint8Array): Promise<Uint8Array> {
  const { code, err, out } = await run(argv, stdin);
  expect([argv, code, err]).toEqual([argv, 0, expect.any(String)]);
  return out;
}

/** All files of a folder by name. */
const files = (path: string): Map<string, Uint8Array> =>
  new Map(
    readdirSync(join(folder, path))
      .sort()
      .map((name) => [name, bytesOf(join(path, name))]),
  );

/** Tensors of a folder of shards. */
const shardTensors = (path: string) =>
  new Map(
    [...files(path)].filter(([name]) => name.endsWith(".safetensors")).flatMap(([, bytes]) => [...readTensors(bytes)]),
  );

describe("pipes", () => {
  test("two merges give the same bytes piped, through a file and through a folder", async () => {
    const second = "--method slerp --base c --t 0.3 -q";
    const piped = await shell(
      `$MERGE a b --method linear --weight 1 -q | $MERGE - c ${second} > piped.safetensors`,
      folder,
    );
    expect([piped.code, piped.err]).toEqual([0, ""]);
    await done("a b --method linear --weight 1 -q -o first.safetensors");
    await done("a b --method linear --weight 1 -q -o first");
    await done(`first.safetensors c ${second} -o by-file.safetensors`);
    await done(`first c ${second} -o by-folder.safetensors`);
    const wanted = bytesOf("piped.safetensors");
    expect(same(bytesOf("by-file.safetensors"), wanted)).toBe(true);
    expect(same(bytesOf("by-folder.safetensors"), wanted)).toBe(true);
    expect(readIndependently(wanted).tensors.size).toBe(Object.keys(DECODER).length);
  });

  test("stdout, a file and a folder hold the same bytes", async () => {
    const out = await done("a b --method karcher -q");
    await done("a b --method karcher -q -o k.safetensors");
    await done("a b --method karcher -q -o k");
    expect(same(bytesOf("k.safetensors"), out)).toBe(true);
    const [piped, foldered] = [readTensors(out), readTensors(bytesOf("k/model.safetensors"))];
    expect([...foldered.keys()]).toEqual([...piped.keys()]);
    for (const [name, { data }] of piped) expect([name, same(foldered.get(name)!.data, data)]).toEqual([name, true]);
    expect(readdirSync(join(folder, "k")).sort()).toEqual(["config.json", "model.safetensors"]);
  });

  test("the result holds the config and how it was made", async () => {
    const { metadata } = readIndependently(await done("a b --method linear --weight 0.25,0.75 --seed 3 -q"));
    const lineage = JSON.parse(metadata["ingot.lineage"]!);
    expect(lineage).toHaveLength(1);
    expect(lineage[0]).toMatchObject({
      script: "merge",
      method: "linear",
      options: { weight: "0.25,0.75" },
      seed: 3,
      inputs: [
        { ref: "a", role: "model" },
        { ref: "b", role: "model" },
      ],
    });
    expect(JSON.stringify(metadata)).toContain("num_hidden_layers");
  });

  test("a reader that leaves early ends the merge without a word", async () => {
    for (const seed of [8, 9]) writeModel(join(folder, `wide-${seed}`), tensorsOf({ "w.weight": [1024, 1024] }, seed));
    const line = "$MERGE wide-8 wide-9 --method karcher -q | head -c 1000 | wc -c; echo $PIPESTATUS";
    const { text, err } = await shell(line, folder);
    expect(text.split(/\s+/).filter(Boolean)).toEqual(["1000", "0"]);
    expect(err).toBe("");
  });

  test("a stream may be read by a method that looks twice, and by one that looks once", async () => {
    const stream = fileOf(models[0]!);
    for (const method of ["ties --base c --density 0.5", "linear"]) {
      const piped = readTensors(await done(`- b --method ${method} --weight 1 -q`, stream));
      const plain = readTensors(await done(`a b --method ${method} --weight 1 -q`));
      for (const [name, { data }] of plain)
        expect([method, name, same(piped.get(name)!.data, data)]).toEqual([method, name, true]);
    }
  });

  test("a stream whose tensors come in another order than the output's is read right", async () => {
    const backwards = fileOf([...models[0]!].reverse());
    const piped = readTensors(await done("b - --method linear --weight 1 -q", backwards));
    const plain = readTensors(await done("b a --method linear --weight 1 -q"));
    for (const [name, { data }] of plain) expect([name, same(piped.get(name)!.data, data)]).toEqual([name, true]);
  });

  test("a stream may be used more than once: listed twice, stacked twice, or its embedding as a head", async () => {
    const stream = fileOf(models[0]!);
    const twice = readTensors(await done("- - b --method linear --weight 1 --allow-duplicates -q", stream));
    const plain = readTensors(await done("a a b --method linear --weight 1 --allow-duplicates -q"));
    for (const [name, { data }] of plain) expect([name, same(twice.get(name)!.data, data)]).toEqual([name, true]);

    const slices = (model: string) =>
      `merge_method: passthrough\nslices:\n- sources: [{model: ${model}, layer_range: [0, 2]}]\n- sources: [{model: ${model}, layer_range: [0, 2]}]\n`;
    writeFileSync(join(folder, "stack-file.yml"), slices("./a/model.safetensors"));
    writeFileSync(join(folder, "stack-pipe.yml"), slices('"-"'));
    const stacked = readTensors(await done("stack-pipe.yml -q", stream));
    const expected = readTensors(await done("stack-file.yml -q"));
    expect([...stacked.keys()]).toEqual([...expected.keys()]);
    for (const [name, { data }] of expected) expect([name, same(stacked.get(name)!.data, data)]).toEqual([name, true]);
  });

  test("streams that are no checkpoint are refused, and nothing is written", async () => {
    const whole = fileOf(models[0]!);
    const cases: [Uint8Array | undefined, string][] = [
      [undefined, "merge: stdin was empty: it is /dev/null\n  hint: nothing was piped in"],
      [
        whole.subarray(0, whole.length - 40),
        "merge: stdin was cut short: it ended in tensor lm_head.weight (byte 472 of 512)",
      ],
      [whole.subarray(0, 100), "merge: stdin was cut short: it ended at byte 100, inside its header"],
      [new TextEncoder().encode('{"text": "hello"}\n{"text": "you"}\n'), "merge: stdin"],
    ];
    for (const [stdin, message] of cases) {
      const { code, err } = await run("- b --method linear --weight 1 -o refused.safetensors -q", stdin);
      expect(err).toStartWith(message);
      expect(err.trimEnd().split("\n")).toHaveLength(2);
      expect(code).toBe(2);
    }
    expect(readdirSync(folder).filter((name) => name.includes("refused"))).toEqual([]);
  });
});

describe("shards", () => {
  test("hold the same tensors as one file, with an index and the model's files", async () => {
    const one = readTensors(await done("a b --method linear --weight 1 -q"));
    await done("a b --method linear --weight 1 --shards 3 -q -o three");
    await done("a b --method linear --weight 1 --shard-size 1KB -q -o sized");
    for (const path of ["three", "sized"]) {
      const sharded = shardTensors(path);
      expect([...sharded.keys()].sort()).toEqual([...one.keys()].sort());
      for (const [name, { data }] of one) expect([name, same(sharded.get(name)!.data, data)]).toEqual([name, true]);
      const index = JSON.parse(readFileSync(join(folder, path, "model.safetensors.index.json"), "utf8"));
      expect(Object.keys(index.weight_map).sort()).toEqual([...one.keys()].sort());
    }
    expect([...files("three").keys()]).toEqual([
      "config.json",
      ...[1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`),
      "model.safetensors.index.json",
    ]);
    expect(files("sized").size).toBe(4);
  });

  test("written by separate processes, in any order, are those of one process byte for byte", async () => {
    for (const method of ["linear --weight 1", "dare_ties --base c --weight 1 --density 0.5"]) {
      await done(`a b --method ${method} --shards 3 -q --overwrite -o whole`);
      for (const i of [2, 3, 1]) await done(`a b --method ${method} --shard ${i}/3 -q --overwrite -o parts`);
      const [whole, parts] = [files("whole"), files("parts")];
      expect([...parts.keys()]).toEqual([...whole.keys()]);
      for (const [name, bytes] of whole)
        expect([method, name, same(parts.get(name)!, bytes)]).toEqual([method, name, true]);
    }
  });

  test("at the same time, too", async () => {
    await done("a b --method karcher --shards 3 -q -o together-whole");
    const ran = await Promise.all([1, 2, 3].map((i) => run(`a b --method karcher --shard ${i}/3 -q -o together`)));
    expect(ran.map(({ code, err }) => [code, err])).toEqual(Array(3).fill([0, ""]));
    const [whole, parts] = [files("together-whole"), files("together")];
    expect([...parts.keys()]).toEqual([...whole.keys()]);
    for (const [name, bytes] of whole) expect([name, same(parts.get(name)!, bytes)]).toEqual([name, true]);
  });

  test("go to folders and have sensible numbers", async () => {
    const one = await run("a b --method karcher --shards 2 -o x.safetensors");
    expect(one.err).toBe("merge: x.safetensors is one file; shards are written to a folder\n  hint: write -o name/\n");
    const wrong = await run("a b --method karcher --shard 4/3 -o x");
    expect(wrong.err).toBe("merge: --shard 4/3 is not I/N with I from 1 to N\n  hint: for example --shard 2/8\n");
    const size = await run("a b --method karcher --shard-size big -o x");
    expect(size.err).toBe("merge: --shard-size big is not a size\n  hint: for example 5GB or 300MB\n");
    expect([one.code, wrong.code, size.code]).toEqual([2, 2, 2]);
  });
});

describe("seeds", () => {
  test("the same gives the same bytes, another gives others, and mergekit's name for it works", async () => {
    const line = "a b --base c --method dare_linear --weight 1 --density 0.5 -q";
    const [first, again, other, named] = [
      await done(`${line} --seed 5`),
      await done(`${line} --seed 5`),
      await done(`${line} --seed 6`),
      await done(`${line} --random-seed 5`),
    ];
    expect(same(first, again)).toBe(true);
    expect(same(first, named)).toBe(true);
    const [one, two] = [readTensors(first), readTensors(other)];
    for (const [name, { data }] of one) expect([name, same(two.get(name)!.data, data)]).toEqual([name, false]);
  });
});

test("with --overwrite an input that is the output's target is read to its end and then replaced", async () => {
  writeModel(join(folder, "own.safetensors"), models[0]!);
  const wanted = readTensors(await done("own.safetensors b --method linear --weight 1 -q"));
  await done("own.safetensors b --method linear --weight 1 -q --overwrite -o own.safetensors");
  const found = readTensors(bytesOf("own.safetensors"));
  for (const [name, { data }] of wanted) expect([name, same(found.get(name)!.data, data)]).toEqual([name, true]);
});

test("a stage that follows itself in a pipe is two steps of the history", async () => {
  const stage = "$MERGE - b --method slerp --base b --t 0.3 -q";
  const { out } = await shell(`$MERGE a b --method linear --weight 1 -q | ${stage} | ${stage}`, folder);
  writeFileSync(join(folder, "thrice.safetensors"), out);
  const lineage = JSON.parse(readIndependently(out).metadata["ingot.lineage"]!) as { method: string; run: string }[];
  expect(lineage.map(({ method }) => method)).toEqual(["linear", "slerp", "slerp"]);
  expect(new Set(lineage.map((entry) => entry.run)).size).toBe(3);
});
