import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import type { LineageEntry, TensorInfo } from "../../../src/checkpoint/checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../../../src/checkpoint/dtype.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { assignShards } from "../../../src/checkpoint/write/shards.ts";
import { createWriter } from "../../../src/checkpoint/write/write.ts";
import type { WriteOptions } from "../../../src/checkpoint/write/writer.ts";
import { bytesOf, fileOf, inFolder, type Made, make, readIndependently, refusal } from "../sample.ts";

const copy = path.join(import.meta.dir, "../stream/copy.ts");
const specs = Object.fromEntries(
  (Object.keys(DTYPE_BYTES) as Dtype[]).flatMap((dtype): [string, [Dtype, number[]]][] => [
    [`${dtype}.scalar`, [dtype, DTYPE_BYTES[dtype] < 1 ? [4] : []]],
    [`${dtype}.empty`, [dtype, [0, 3]]],
    [`${dtype}.matrix`, [dtype, [20, 3]]],
  ]),
);
const made = make({ ...specs, 'odd "name"\n\\../é': ["F32", [2]], __proto__: ["F32", [1]] });
const bytes = (text: string) => new TextEncoder().encode(text);
const files = new Map([
  ["config.json", bytes('{"model_type":"llama"}')],
  ["tokenizer.json", bytes("t".repeat(1.5 * 2 ** 20))],
  ["tokenizer.model", Uint8Array.of(0, 255, 254, 10)],
]);
const lineage: LineageEntry[] = [
  {
    script: "merge",
    version: "0",
    method: "ties",
    options: { density: 0.2 },
    seed: 0,
    inputs: [],
    run: "abc",
    time: "",
  },
];

async function write(target: string, tensors: readonly Made[], options: WriteOptions = {}, piece = 7) {
  const writer = await createWriter(target, { tensors, files, lineage }, { flush: false, ...options });
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name } of writer.tensors) {
    const { data } = byName.get(name)!;
    for (let at = 0; at < data.length; at += piece) await writer.write(name, data.slice(at, at + piece));
  }
  await writer.finish();
  return writer;
}

const listing = (folder: string) => fs.readdirSync(folder).sort();
const contents = (folder: string) =>
  Object.fromEntries(
    listing(folder).map((name) => [name, Bun.hash(fs.readFileSync(path.join(folder, name))).toString()]),
  );

describe("every form", () => {
  test("gives the same tensors, files and lineage back", () =>
    inFolder(async (top) => {
      const stdout = fs.openSync(path.join(top, "stdout"), "w");
      await write("-", made, { fd: stdout });
      await write(path.join(top, "x.safetensors"), made);
      await write(path.join(top, "one"), made);
      await write(`${top}/parts/`, made, { shards: 4 });
      await write(path.join(top, "deep", "er"), made, { shardBytes: 500 });
      fs.renameSync(path.join(top, "stdout"), path.join(top, "piped.safetensors"));
      expect(fs.readFileSync(`${top}/piped.safetensors`).equals(fs.readFileSync(`${top}/x.safetensors`))).toBeTrue();
      for (const name of ["x.safetensors", "piped.safetensors", "one", "parts", "deep/er"]) {
        const checkpoint = await open(path.join(top, name));
        expect([...checkpoint.tensors.keys()]).toEqual(made.map((tensor) => tensor.name));
        for (const { name, dtype, shape, data } of made) {
          const entry = checkpoint.tensors.get(name)!;
          expect([entry.dtype, entry.shape]).toEqual([dtype, shape]);
          expect(await bytesOf(entry)).toEqual(data);
        }
        expect(checkpoint.files).toEqual(files);
        expect(checkpoint.lineage).toEqual(lineage);
        checkpoint.close();
      }
      expect(listing(path.join(top, "one"))).toEqual([
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer.model",
      ]);
      const index = JSON.parse(fs.readFileSync(path.join(top, "parts", "model.safetensors.index.json"), "utf8"));
      expect(index.metadata.total_size).toBe(made.reduce((sum, tensor) => sum + tensor.bytes, 0));
      expect(Object.keys(index.weight_map).length).toBe(made.length);
      expect(index.weight_map["F64.scalar"]).toBe("model-00001-of-00004.safetensors");
      const shard = readIndependently(fs.readFileSync(path.join(top, "parts", "model-00004-of-00004.safetensors")));
      expect(shard.metadata).toEqual({ format: "pt", "ingot.lineage": expect.stringContaining('"method":"ties"') });
    }));

  test("is the same bytes in a second run, and in pieces of another size", () =>
    inFolder(async (top) => {
      for (const [name, piece] of [
        ["a", 7],
        ["b", 1e6],
      ] as const) {
        await write(`${top}/${name}`, made, { shards: 3 }, piece);
        await write(`${top}/${name}.safetensors`, made, {}, piece);
      }
      expect(contents(`${top}/a`)).toEqual(contents(`${top}/b`));
      expect(fs.readFileSync(`${top}/a.safetensors`).equals(fs.readFileSync(`${top}/b.safetensors`))).toBeTrue();
    }));

  test("shard by shard in any order is a whole run with that many shards", () =>
    inFolder(async (top) => {
      await write(`${top}/whole`, made, { shards: 3 });
      for (const order of [
        [1, 2, 3],
        [3, 1, 2],
      ]) {
        const folder = `${top}/${order.join("")}`;
        for (const index of order) {
          const { tensors } = await write(folder, made, { shard: { index, count: 3 } });
          expect(tensors.length).toBeLessThan(made.length);
        }
        expect(contents(folder)).toEqual(contents(`${top}/whole`));
      }
    }));

  test("the stream's header goes out before the first tensor", () =>
    inFolder(async (top) => {
      const fd = fs.openSync(`${top}/x`, "w");
      const writer = await createWriter("-", { tensors: made, files: new Map(), lineage: [] }, { fd });
      expect(fs.statSync(`${top}/x`).size).toBe(writer.bytes - made.reduce((sum, tensor) => sum + tensor.bytes, 0));
      await writer.abort();
    }));
});

describe("dealing tensors to shards", () => {
  const sized = (...sizes: number[]): TensorInfo[] =>
    sizes.map((size, i) => ({ name: `t${i}`, dtype: "U8", shape: [size], bytes: size }));
  const sizes = (shards: TensorInfo[][]) => shards.map((shard) => shard.map((tensor) => tensor.bytes));

  test("by size: no shard is larger than the limit, unless one tensor is", () => {
    expect(sizes(assignShards(sized(3, 3, 3, 9, 1, 4, 2), { shardBytes: 6 }))).toEqual([[3, 3], [3], [9], [1, 4], [2]]);
    expect(sizes(assignShards([], {}))).toEqual([[]]);
    expect(sizes(assignShards(sized(0, 5, 0), { shardBytes: 5 }))).toEqual([[0, 5, 0]]);
  });

  test("by count: exactly that many, none empty, about equal", () => {
    expect(sizes(assignShards(sized(1, 1, 1, 1, 1, 1), { shards: 3 }))).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
    ]);
    expect(sizes(assignShards(sized(100, 1, 1), { shards: 3 }))).toEqual([[100], [1], [1]]);
    expect(sizes(assignShards(sized(1, 1, 100), { shards: 3 }))).toEqual([[1], [1], [100]]);
    expect(sizes(assignShards(sized(0, 0, 0), { shards: 2 })).flat()).toEqual([0, 0, 0]);
    for (let n = 1; n <= 20; n++) {
      const shards = assignShards(sized(...Array.from({ length: 20 }, (_, i) => (i * 37) % 11)), { shards: n });
      expect(shards.length).toBe(n);
      expect(shards.every((shard) => shard.length > 0)).toBeTrue();
      expect(shards.flat().map(({ name }) => name)).toEqual(Array.from({ length: 20 }, (_, i) => `t${i}`));
    }
  });

  test("more shards than tensors are refused", async () => {
    const error = await refusal(() => assignShards(sized(1, 1), { shards: 3 }));
    expect(error.message).toBe("Cannot write 3 shards of 2 tensors");
    await refusal(() => assignShards(sized(1), { shards: 0 }));
  });
});

describe("mistakes", () => {
  const plan = { tensors: make({ a: ["U8", [3]], e: ["U8", [0]], b: ["U8", [2]] }), files, lineage };

  test("of the caller: order, too many bytes, too few", () =>
    inFolder(async (top) => {
      const target = `${top}/x.safetensors`;
      const begin = () => createWriter(target, plan, { flush: false });
      await expect((await begin()).write("b", new Uint8Array(2))).rejects.toThrow(
        "tensor b was written out of order: expected a (0 of 3 bytes written)",
      );
      await expect((await begin()).write("a", new Uint8Array(4))).rejects.toThrow(
        "tensor a has 3 bytes; 4 were written",
      );
      const writer = await begin();
      await writer.write("a", new Uint8Array(3));
      await expect(writer.finish()).rejects.toThrow("tensor b has 2 bytes; 0 were written");
      await expect(writer.write("b", new Uint8Array(2))).rejects.toThrow();
      expect(listing(top)).toEqual([]);
    }));

  test("of the user: each target that cannot be written", () =>
    inFolder(async (top) => {
      fs.mkdirSync(`${top}/d.safetensors`);
      fs.writeFileSync(`${top}/file`, "x");
      const cases: [string, WriteOptions, string][] = [
        [`${top}/d.safetensors`, {}, `${top}/d.safetensors is a folder; expected a file`],
        [`${top}/file`, {}, `${top}/file is a file; expected a folder`],
        [`${top}/no/x.safetensors`, {}, `${top}/no: no such folder, so ${top}/no/x.safetensors cannot be written`],
        [`${top}/x.bin`, {}, `${top}/x.bin cannot be written`],
        [`${top}/file/x.safetensors`, {}, `${top}/file/x.safetensors cannot be written: it is below a file`],
        [`${top}/file/x`, {}, `${top}/file/x cannot be written: it is below a file`],
        [
          "hf:org/name",
          { hub: { env: { HF_HUB_OFFLINE: "1" } } },
          "hf:org/name cannot be written: HF_HUB_OFFLINE is set",
        ],
        ["", {}, "The name of the output is empty"],
        ["-", { shards: 2 }, "- is one file; shards are written to a folder"],
        [
          `${top}/x.safetensors`,
          { shard: { index: 1, count: 2 } },
          `${top}/x.safetensors is one file; shards are written to a folder`,
        ],
        [`${top}/new`, { shard: { index: 3, count: 2 } }, "There is no shard 3 of 2"],
        [`${top}/new`, { shard: { index: 0, count: 2 } }, "There is no shard 0 of 2"],
      ];
      for (const [target, options, message] of cases) {
        const error = await refusal(() => createWriter(target, plan, options));
        expect(error.message).toBe(message);
        expect(error.exitCode).toBe(2);
      }
      expect(listing(top)).toEqual(["d.safetensors", "file"]);
    }));

  test("of the user: a name that is too long for the system", () =>
    inFolder(async (top) => {
      const error = await refusal(() => createWriter(`${top}/${"x".repeat(300)}.safetensors`, plan));
      expect(error.message).toEndWith(" cannot be written: the name is too long");
      expect(error.exitCode).toBe(2);
      // As long as the system allows is not too long, although the temporary name is longer than the target's.
      const longest = `${"x".repeat(243)}.safetensors`;
      await write(`${top}/${longest}`, made);
      expect(listing(top)).toEqual([longest]);
    }));

  test.each(["model.safetensors", "config.json"])("of the user: a folder called %s in the way", (name) =>
    inFolder(async (top) => {
      fs.mkdirSync(`${top}/out/${name}`, { recursive: true });
      const error = await refusal(() => createWriter(`${top}/out`, { tensors: made, files, lineage }));
      expect(error.message).toBe(`${path.join(top, "out", name)} is a folder; expected a file or nothing`);
      expect(error.exitCode).toBe(2);
      expect(listing(`${top}/out`)).toEqual([name]);
    }),
  );

  test("of the user: a FIFO called config.json is refused, not waited for", () =>
    inFolder(async (top) => {
      fs.mkdirSync(`${top}/out`);
      if (Bun.spawnSync(["mkfifo", `${top}/out/config.json`]).exitCode !== 0) return; // no FIFOs here
      const error = await refusal(() => createWriter(`${top}/out`, { tensors: made, files, lineage }));
      expect(error.message).toBe(
        `${path.join(top, "out", "config.json")} is not a regular file; expected a file or nothing`,
      );
      expect(listing(`${top}/out`)).toEqual(["config.json"]);
    }));

  test("a disk that is too small is said before the first byte", () =>
    inFolder(async (top) => {
      const huge = { name: "w", dtype: "U8", shape: [2 ** 50], bytes: 2 ** 50 } as const;
      for (const target of [`${top}/x.safetensors`, `${top}/new/folder`]) {
        const error = await refusal(() => createWriter(target, { ...plan, tensors: [huge] }));
        expect(error.message).toMatch(/needs 1125899\.9 GB, but its disk has [\d.]+ GB free$/);
        expect(error.exitCode).toBe(1);
      }
      expect(listing(top)).toEqual([]);
    }));

  test("a disk that fills up, and a file that may not grow, leave nothing behind", () =>
    inFolder(async (top) => {
      fs.writeFileSync(`${top}/x.safetensors`, fileOf(make({ w: ["U8", [3_000_000]] })));
      const limited = Bun.spawnSync(["bash", "-c", `ulimit -f 1000; bun ${copy} ${top}/x.safetensors ${top}/out/`]);
      expect(limited.stderr.toString()).toBe(
        `begun\n${top}/out/model.safetensors could not be written: the file would be larger than is allowed here\n  hint: see ulimit -f, or write shards\n`,
      );
      expect(limited.exitCode).toBe(1);
      expect(listing(top)).toEqual(["x.safetensors"]);

      // /dev/full fails as a full disk does; it is a device, so what is written to it is a stream.
      if (!fs.existsSync("/dev/full")) return;
      const full = Bun.spawnSync(["bun", copy, `${top}/x.safetensors`, "/dev/full"]);
      expect(full.stderr.toString()).toStartWith("/dev/full could not be written: no space is left on the disk\n");
      expect(full.exitCode).toBe(1);
    }));
});

/** A disk of 4 MB, where this process may mount one. */
function smallDisk(at: string): (() => void) | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return undefined;
  if (Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", at]).exitCode !== 0) return undefined;
  return () => Bun.spawnSync(["umount", "-l", at]);
}

test("a disk that another program fills meanwhile is named, and the temporary file is gone", () =>
  inFolder(async (top) => {
    const unmount = smallDisk(top);
    if (unmount === undefined) return console.error("skipped: mounting a small disk needs root on Linux");
    try {
      const plan = { tensors: make({ w: ["U8", [3_000_000]] }), files, lineage: [] };
      const writer = await createWriter(`${top}/out`, plan);
      await writer.write("w", new Uint8Array(1_000_000));
      fs.writeFileSync(`${top}/other`, new Uint8Array(1_500_000));
      const error = await refusal(() => writer.write("w", new Uint8Array(2_000_000)));
      expect(error.message).toBe(`${top}/out/model.safetensors could not be written: no space is left on the disk`);
      expect(error.exitCode).toBe(1);
      expect(listing(top)).toEqual(["other"]);
    } finally {
      unmount();
    }
  }));

describe("replacing", () => {
  const [x, y] = [
    make({ a: ["U8", [50]], b: ["U8", [60]], c: ["U8", [70]] }),
    make({ a: ["U8", [50]], b: ["U8", [60]], c: ["U8", [70]] }, 1),
  ];
  const values = async (ref: string) => {
    const checkpoint = await open(ref);
    const all = await Promise.all([...checkpoint.tensors.values()].map(bytesOf));
    checkpoint.close();
    return all;
  };

  test("a file that is being read: the input stays what it was until it is closed", () =>
    inFolder(async (top) => {
      const target = `${top}/x.safetensors`;
      await write(target, x);
      const input = await open(target);
      await write(target, y);
      expect(await bytesOf(input.tensors.get("a")!)).toEqual(x[0]!.data);
      input.close();
      expect(await values(target)).toEqual(y.map(({ data }) => data));
      expect(listing(top)).toEqual(["x.safetensors"]);
    }));

  test("through a link writes the file it leads to", () =>
    inFolder(async (top) => {
      fs.mkdirSync(`${top}/real`);
      await write(`${top}/real/x.safetensors`, x);
      fs.symlinkSync("real/x.safetensors", `${top}/link.safetensors`);
      await write(`${top}/link.safetensors`, y);
      expect(fs.lstatSync(`${top}/link.safetensors`).isSymbolicLink()).toBeTrue();
      expect(await values(`${top}/real/x.safetensors`)).toEqual(y.map(({ data }) => data));
    }));

  const FORMS: [string, WriteOptions][] = [
    ["one file", {}],
    ["two shards", { shards: 2 }],
    ["three shards", { shards: 3 }],
  ];
  test.each(
    FORMS.flatMap((from) =>
      FORMS.map((to): [string, string, WriteOptions, WriteOptions] => [from[0], to[0], from[1], to[1]]),
    ),
  )("a folder of %s by %s leaves the new model only", (_, __, from, to) =>
    inFolder(async (top) => {
      await write(`${top}/m`, x, from);
      fs.writeFileSync(`${top}/m/README.md`, "mine");
      fs.writeFileSync(`${top}/m/merges.txt`, "of the old model");
      await write(`${top}/m`, y, to);
      expect(await values(`${top}/m`)).toEqual(y.map(({ data }) => data));
      expect(fs.readFileSync(`${top}/m/README.md`, "utf8")).toBe("mine");
      fs.rmSync(`${top}/m/README.md`);
      await write(`${top}/fresh`, y, to);
      expect(contents(`${top}/m`)).toEqual(contents(`${top}/fresh`));
    }),
  );

  test("shard by shard: until all are there the folder is refused, never mixed", () =>
    inFolder(async (top) => {
      const other = { ...lineage[0]!, run: "def" };
      const writeShard = async (index: number) => {
        const plan = { tensors: y, files, lineage: [other] };
        const shard = { index, count: 3 };
        const writer = await createWriter(`${top}/m`, plan, { flush: false, shard, overwrite: true });
        for (const { name } of writer.tensors) await writer.write(name, y.find((tensor) => tensor.name === name)!.data);
        await writer.finish();
      };
      for (const order of [
        [1, 2, 3],
        [3, 2, 1],
        [2, 3, 1],
      ]) {
        await write(`${top}/m`, x, { shards: 3 });
        for (const [i, index] of order.entries()) {
          await writeShard(index);
          if (i < 2) await refusal(() => open(`${top}/m`));
        }
        expect(await values(`${top}/m`)).toEqual(y.map(({ data }) => data));
        expect(listing(`${top}/m`).length).toBe(3 + 1 + files.size);
      }
    }));

  test("a shard beside another checkpoint is refused; beside its own index, or shards without one, it is not", () =>
    inFolder(async (top) => {
      const shard = { index: 2, count: 3 };
      const plan = { tensors: y, files, lineage: [{ ...lineage[0]!, run: "def" }] };
      const attempt = (folder: string, index = 2) =>
        createWriter(folder, plan, { flush: false, shard: { ...shard, index } });
      await write(`${top}/one`, x);
      const before = contents(`${top}/one`);
      expect((await refusal(() => attempt(`${top}/one`))).message).toBe(
        `${top}/one/model.safetensors is there already, of another checkpoint`,
      );
      expect(contents(`${top}/one`)).toEqual(before);
      await write(`${top}/many`, x, { shards: 3 });
      expect((await refusal(() => attempt(`${top}/many`))).message).toContain("model.safetensors.index.json");
      const ours = await createWriter(`${top}/ours`, plan, { flush: false, shards: 3 });
      for (const { name, data } of y) await ours.write(name, data);
      await ours.finish();
      await (await attempt(`${top}/ours`)).abort();
      fs.rmSync(`${top}/many/model.safetensors.index.json`);
      fs.rmSync(`${top}/many/model-00001-of-00003.safetensors`);
      await (await attempt(`${top}/many`)).abort();
    }));

  test("temporary files of dead processes are removed, those of living ones and others' stay", () =>
    inFolder(async (top) => {
      const dead = Bun.spawn(["true"]);
      await dead.exited;
      const writer = await createWriter(`${top}/x.safetensors`, { tensors: x, files, lineage });
      const [mine] = listing(top);
      expect(mine).toMatch(/^\.x\.safetensors\.[0-9a-f]{6}-\d+-[0-9a-f]{8}\.tmp$/);
      const named = (pid: number, host = mine!.slice(15, 21)) => `.x.safetensors.${host}-${pid}-00000000.tmp`;
      const kept = [
        named(process.ppid),
        named(dead.pid, "zzzzzz"),
        `.y.safetensors.${mine!.slice(15, 21)}-${dead.pid}-00000000.tmp`,
      ];
      for (const name of [named(dead.pid), named(process.pid), ...kept]) fs.writeFileSync(path.join(top, name), "x");
      const second = await createWriter(`${top}/x.safetensors`, { tensors: x, files, lineage });
      expect(listing(top)).toEqual(expect.arrayContaining([mine!, ...kept]));
      expect(listing(top).length).toBe(kept.length + 2);
      await writer.abort();
      await second.abort();
      expect(listing(top)).toEqual(kept.sort());
    }));
});

describe("killed", () => {
  // Sizes such that the kill falls into header, tensors, flush and renames; 12 moments over 3 forms.
  const FORMS: [string, string][] = [
    ["out.safetensors", "{}"],
    ["out", '{"shards":3}'],
    ["out", "{}"],
  ];
  test.each(FORMS)("at any moment leaves %s absent, old, or new and whole (%s)", (name, options) =>
    inFolder(async (top) => {
      const sizes: Record<string, [Dtype, number[]]> = {
        a: ["U8", [900_000]],
        b: ["U8", [700_000]],
        c: ["U8", [800_000]],
      };
      const [older, newer] = [make(sizes, 1), make(sizes, 2)];
      fs.mkdirSync(`${top}/new`);
      fs.writeFileSync(`${top}/new/model.safetensors`, fileOf(newer));
      fs.writeFileSync(`${top}/new/config.json`, "{}");
      const run = (extra: object) =>
        Bun.spawn(
          ["bun", copy, `${top}/new`, `${top}/w/${name}`, JSON.stringify({ ...JSON.parse(options), ...extra })],
          {
            stderr: "pipe",
          },
        );
      const outcome = { absent: 0, old: 0, new: 0 };
      for (let i = 0; i < 4; i++) {
        fs.rmSync(`${top}/w`, { recursive: true, force: true });
        fs.mkdirSync(`${top}/w`);
        if (i % 2) await write(`${top}/w/${name}`, older, JSON.parse(options), 1e6);
        const child = run({ chunk: 50_000, pause: i === 3 ? 0 : 1 });
        await child.stderr.getReader().read(); // "begun"
        await Bun.sleep([5, 20, 45, 12][i]!);
        child.kill("SIGKILL");
        await child.exited;
        if (
          !fs.existsSync(`${top}/w/${name}`) ||
          (name === "out" && !listing(`${top}/w/out`).some((n) => /^model\.safetensors/.test(n)))
        ) {
          outcome.absent++;
        } else {
          const checkpoint = await open(`${top}/w/${name}`);
          const all = Buffer.concat(await Promise.all([...checkpoint.tensors.values()].map(bytesOf)));
          checkpoint.close();
          if (all.equals(Buffer.concat(newer.map(({ data }) => data)))) outcome.new++;
          else if (all.equals(Buffer.concat(older.map(({ data }) => data)))) outcome.old++;
          else throw new Error("torn");
        }
        expect(await run({}).exited).toBe(0); // the next run succeeds, and clears up
        const { tensors, close } = await open(`${top}/w/${name}`);
        expect(await bytesOf(tensors.get("b")!)).toEqual(newer[1]!.data);
        close();
        expect(listing(name === "out" ? `${top}/w/out` : `${top}/w`).filter((n) => n.endsWith(".tmp"))).toEqual([]);
      }
      expect(outcome.absent + outcome.old + outcome.new).toBe(4);
      expect(outcome.absent + outcome.old).toBeGreaterThan(0); // some kill came before the end
    }),
  );
});
