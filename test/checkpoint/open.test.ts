import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { open, openPlain, splitAdapter } from "../../src/checkpoint/open.ts";
import { lowRankOf } from "../support/lora.ts";
import { bytesOf, fileOf, inFolder, make, raw, refusal } from "./sample.ts";

const made = make({ "a.weight": ["BF16", [2, 3]], "b.weight": ["F32", [4]], empty: ["F32", [0, 3]], s: ["F32", []] });
const config = '{"model_type":"llama"}';

const put = (folder: string, files: Record<string, string | Uint8Array>) => {
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), content);
  }
};

const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : new TextDecoder().decode(bytes));
const index = (map: Record<string, unknown>, metadata: object = { total_size: 1 }) =>
  JSON.stringify({ metadata, weight_map: map });

describe("a file", () => {
  test("gives tensors, their bytes in pieces, and files beside it", () =>
    inFolder(async (folder) => {
      put(folder, { "x.safetensors": fileOf(made), "config.json": config, "notes.txt": "no" });
      const checkpoint = await open(path.join(folder, "x.safetensors"));
      expect(checkpoint.kind).toBe("file");
      expect([...checkpoint.tensors.keys()]).toEqual(made.map(({ name }) => name));
      for (const { name, data } of made) expect(await bytesOf(checkpoint.tensors.get(name)!)).toEqual(data);
      const piece = new Uint8Array(5);
      await checkpoint.tensors.get("b.weight")!.read(piece, 3);
      expect(piece).toEqual(made[1]!.data.slice(3, 8));
      expect(text(checkpoint.files.get("config.json"))).toBe(config);
      expect([...checkpoint.files.keys()]).toEqual(["config.json"]);
      checkpoint.close();
    }));

  test("with files in its metadata does not mix them with those beside it", () =>
    inFolder(async (folder) => {
      const big = "x".repeat(100);
      const metadata = { "config.json": "{}", "tokenizer.json+gzip": gzipSync(big).toString("base64"), "../evil": "x" };
      put(folder, { "x.safetensors": fileOf(made, metadata), "config.json": config, "merges.txt": "m" });
      const { files } = await open(path.join(folder, "x.safetensors"));
      expect([...files].map(([name, bytes]) => [name, text(bytes)])).toEqual([
        ["config.json", "{}"],
        ["tokenizer.json", big],
      ]);
    }));

  test("a read outside the tensor is a mistake of the caller", () =>
    inFolder(async (folder) => {
      put(folder, { "x.safetensors": fileOf(made) });
      const checkpoint = await open(path.join(folder, "x.safetensors"));
      const entry = checkpoint.tensors.get("a.weight")!;
      await expect(entry.read(new Uint8Array(13), 0)).rejects.toThrow(RangeError);
      await expect(entry.read(new Uint8Array(1), 12)).rejects.toThrow("has 12 bytes; asked for 1 at 12");
      await expect(entry.read(new Uint8Array(1), -1)).rejects.toThrow(RangeError);
      checkpoint.close();
      await expect(entry.read(new Uint8Array(1), 0)).rejects.toThrow("is closed");
    }));

  test("that shrinks after it was opened is an error, not a crash", () =>
    inFolder(async (folder) => {
      const file = path.join(folder, "x.safetensors");
      put(folder, { "x.safetensors": fileOf(made) });
      const checkpoint = await open(file);
      const size = fs.statSync(file).size;
      fs.truncateSync(file, size - 18);
      const error = await refusal(() => bytesOf(checkpoint.tensors.get("b.weight")!));
      expect(error.message).toBe(
        `${file}: tensor b.weight ended at byte ${size - 18} while it was read; it had ${size} bytes`,
      );
      expect(error.exitCode).toBe(1);
    }));

  test("is read beyond 2 and 4 GiB", () =>
    inFolder(async (folder) => {
      const sizes = [2 ** 31 + 3, 2 ** 31 + 1, 5];
      let at = 0;
      const header = Object.fromEntries(
        sizes.map((bytes, i) => {
          at += bytes;
          return [`t${i}`, { dtype: "U8", shape: [bytes], data_offsets: [at - bytes, at] }];
        }),
      );
      const file = path.join(folder, "x.safetensors");
      const start = raw(JSON.stringify(header));
      const fd = fs.openSync(file, "w");
      fs.writeSync(fd, start, 0, start.length, 0);
      fs.ftruncateSync(fd, start.length + at); // sparse: takes no space
      fs.writeSync(fd, Uint8Array.of(1, 2, 3, 4, 5), 0, 5, start.length + at - 5);
      fs.writeSync(fd, Uint8Array.of(9), 0, 1, start.length + 2 ** 31 + 1);
      fs.closeSync(fd);
      const { tensors, close } = await open(file);
      expect([...(await bytesOf(tensors.get("t2")!))]).toEqual([1, 2, 3, 4, 5]);
      const piece = new Uint8Array(3);
      await tensors.get("t0")!.read(piece, 2 ** 31);
      expect([...piece]).toEqual([0, 9, 0]);
      close();
    }));
});

describe("what is no checkpoint", () => {
  const KINDS: [string, string | Uint8Array, string][] = [
    ["JSONL", '{"text": "hello"}\n{"text": "world"}\n', "JSON or JSONL text; expected safetensors"],
    ["gzip", gzipSync("hello"), "a gzip file; expected safetensors"],
    ["a pickle", Uint8Array.of(0x80, 2, 0x8a, 10, 1, 2, 3, 4, 5, 6), "a pickle file; expected safetensors"],
    ["a zip", "PK\x03\x04aaaaaaaaaaaa", "a zip file without its directory"],
    ["a web page", "<!DOCTYPE html><html></html>", "a web page; expected safetensors"],
    [
      "a git-lfs pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
      "a git-lfs pointer, which stands for a file that was not fetched; expected safetensors",
    ],
    ["Parquet", "PAR1aaaaaaaaaaaa", "a Parquet file; expected safetensors"],
    ["NumPy", Buffer.from("\x93NUMPY aaaaaaaaa", "latin1"), "a NumPy file; expected safetensors"],
    ["prose", "Once upon a time", "text; expected safetensors"],
  ];
  test.each(KINDS)("%s is named", (_, content, message) =>
    inFolder(async (folder) => {
      const file = path.join(folder, "x.safetensors");
      put(folder, { "x.safetensors": content });
      const error = await refusal(() => open(file));
      expect(error.message).toBe(`${file} is ${message}`);
      expect(error.hint).toBeString();
    }),
  );

  test("nothing there", async () => {
    const error = await refusal(() => open("no/such/model"));
    expect(error.message).toBe("no/such/model: no such file or folder");
    expect(error.hint).toBe("check the spelling; a model of the Hub is written hf:org/name");
    expect((await refusal(() => open(""))).message).toBe("The name of a checkpoint is empty");
  });

  test("names that are no files", () =>
    inFolder(async (top) => {
      const long = path.join(top, "x".repeat(300));
      const tooLong = await refusal(() => open(long));
      expect([tooLong.message, tooLong.exitCode]).toEqual([`${long}: the name is too long for a file`, 2]);
      if (process.platform === "win32") return; // links need a privilege there
      const ring = path.join(top, "ring");
      fs.symlinkSync("ring", ring);
      const looped = await refusal(() => open(ring));
      expect([looped.message, looped.exitCode]).toEqual([`${ring} is a link in a loop of links`, 2]);
    }));

  // root may read everything, and Windows has no such permissions
  test.skipIf(process.platform === "win32" || process.getuid?.() === 0)("a folder that may not be listed", () =>
    inFolder(async (top) => {
      const folder = path.join(top, "closed");
      fs.mkdirSync(folder);
      fs.writeFileSync(path.join(folder, "x.safetensors"), fileOf(make({ w: ["F32", [1]] })));
      fs.writeFileSync(path.join(folder, "config.json"), "{}");
      fs.chmodSync(folder, 0o311);
      try {
        const error = await refusal(() => open(folder));
        expect([error.message, error.exitCode]).toEqual([`${folder} may not be read`, 2]);
        // Its files can be had by name, those that travel with the weights too.
        const file = await open(path.join(folder, "x.safetensors"));
        expect([...file.files.keys()]).toEqual(["config.json"]);
        file.close();
      } finally {
        fs.chmodSync(folder, 0o755);
      }
    }),
  );

  const FOLDERS: [string, Record<string, string>, string][] = [
    ["an empty folder", {}, "is a folder without weights"],
    ["pickled weights", { "x.pt": "x" }, "holds pickled weights (x.pt) but no safetensors"],
    ["GGUF weights", { "x.gguf": "x" }, "holds GGUF weights"],
    [
      "shards without an index",
      { "a-1.safetensors": "", "b-1.safetensors": "" },
      "has no model.safetensors.index.json that says which of its safetensors files belong together (a-1.safetensors, ...)",
    ],
    [
      "one shard of two",
      { "model-00001-of-00002.safetensors": "" },
      "has no model.safetensors.index.json that says which of its safetensors files belong together (model-00001-of-00002.safetensors)",
    ],
    [
      "two indexes",
      { "a.safetensors.index.json": "", "b.safetensors.index.json": "" },
      "has 2 indexes: a.safetensors.index.json, b.safetensors.index.json",
    ],
  ];
  test.each(FOLDERS)("%s", (_, files, message) =>
    inFolder(async (folder) => {
      put(folder, files);
      expect((await refusal(() => open(folder))).message).toBe(`${folder} ${message}`);
    }),
  );
});

describe("a folder", () => {
  const [a, b, ...rest] = made;
  const shards = {
    "model-00001-of-00010.safetensors": fileOf([b!]),
    "model-00002-of-00010.safetensors": fileOf([a!]),
    "model-00010-of-00010.safetensors": fileOf(rest),
  };
  const map = {
    empty: "model-00010-of-00010.safetensors",
    s: "model-00010-of-00010.safetensors",
    "a.weight": "model-00002-of-00010.safetensors",
    "b.weight": "model-00001-of-00010.safetensors",
  };
  const whole = { ...shards, "model.safetensors.index.json": index(map), "config.json": config };

  test("of shards gives tensors in the order of shards and of the bytes in them", () =>
    inFolder(async (folder) => {
      put(folder, whole);
      const checkpoint = await open(folder);
      expect(checkpoint.kind).toBe("folder");
      expect([...checkpoint.tensors.keys()]).toEqual(["b.weight", "a.weight", "empty", "s"]);
      for (const { name, data } of made) expect(await bytesOf(checkpoint.tensors.get(name)!)).toEqual(data);
      expect(text(checkpoint.files.get("config.json"))).toBe(config);
      expect(checkpoint.headerSha256).toMatch(/^[0-9a-f]{64}$/);
    }));

  test("of one file has the digest of that file", () =>
    inFolder(async (folder) => {
      put(folder, { "model.safetensors": fileOf(made) });
      const inside = await open(path.join(folder, "model.safetensors"));
      expect((await open(folder)).headerSha256).toBe(inside.headerSha256);
    }));

  test("with both takes the single file, as other loaders do; any one file will do", () =>
    inFolder(async (folder) => {
      put(folder, { ...whole, "model.safetensors": fileOf([a!]) });
      expect([...(await open(folder)).tensors.keys()]).toEqual(["a.weight"]);
      put(path.join(folder, "other"), { "weights.safetensors": fileOf([b!]) });
      expect([...(await open(path.join(folder, "other"))).tensors.keys()]).toEqual(["b.weight"]);
    }));

  const SHARD1 = "model-00001-of-00010.safetensors";
  const BROKEN: [string, Record<string, string | Uint8Array>, string][] = [
    [
      "names a tensor that its shard lacks",
      { "model.safetensors.index.json": index({ ...map, ghost: SHARD1 }) },
      `model.safetensors.index.json says tensor ghost is in ${SHARD1}, which does not hold it`,
    ],
    [
      "lacks a tensor of a shard",
      { "model.safetensors.index.json": index({ ...map, s: undefined }) },
      "model.safetensors.index.json lacks tensor s, which is in model-00010-of-00010.safetensors",
    ],
    [
      "names another shard for a tensor",
      { "model.safetensors.index.json": index({ ...map, s: SHARD1 }) },
      `model.safetensors.index.json says tensor s is in ${SHARD1}, but model-00010-of-00010.safetensors has it`,
    ],
    [
      "is of another write than its shards",
      { "model.safetensors.index.json": index(map, { ingot_headers_sha256: "00" }) },
      "model.safetensors.index.json belongs to shards of another write",
    ],
    ["has no map", { "model.safetensors.index.json": "{}" }, "model.safetensors.index.json has no weight_map"],
    ["names nothing", { "model.safetensors.index.json": index({}) }, "model.safetensors.index.json names no tensor"],
    [
      "is nested too deep",
      { "model.safetensors.index.json": "[".repeat(1000) },
      "model.safetensors.index.json is nested deeper than 16 levels",
    ],
    [
      "has a tensor twice",
      { "model.safetensors.index.json": `{"weight_map":{"s":"a.safetensors","s":"b.safetensors"}}` },
      "model.safetensors.index.json has the key s twice",
    ],
  ];
  test.each(BROKEN)("whose index %s is refused", (_, files, message) =>
    inFolder(async (folder) => {
      put(folder, { ...whole, ...files });
      expect((await refusal(() => open(folder))).message).toBe(path.join(folder, message));
    }),
  );

  test.each([
    "../x.safetensors",
    "/etc/x.safetensors",
    "a/../../x.safetensors",
    "C:\\x.safetensors",
    "..\\x.safetensors",
    "./x.safetensors",
    "a//x.safetensors",
    "x\0.safetensors",
    "passwd",
    "",
    7,
    null,
    { x: ".safetensors" },
  ])("whose index names %j is refused", (file) =>
    inFolder(async (folder) => {
      put(folder, { ...whole, "model.safetensors.index.json": index({ s: file }) });
      const { message } = await refusal(() => open(folder));
      expect(message).toStartWith(`${folder}/model.safetensors.index.json places tensor s in `);
      expect(message).toEndWith(", which is not a safetensors file inside the folder");
    }),
  );

  test("without a shard that its index names is incomplete", () =>
    inFolder(async (folder) => {
      put(folder, whole);
      fs.rmSync(path.join(folder, SHARD1));
      const error = await refusal(() => open(folder));
      expect(error.message).toBe(`${folder}/${SHARD1}: no such file`);
      expect(error.hint).toBe("the folder is incomplete; fetch or copy it again");
    }));

  test.each(["model-00001-of-00010.safetensors", "config.json", "model.safetensors.index.json"])(
    "with a link out of it under %s is refused; one inside is followed",
    (name) =>
      inFolder(async (top) => {
        const folder = path.join(top, "model");
        put(folder, whole);
        put(top, { outside: (whole as Record<string, string | Uint8Array>)[name]! });
        fs.renameSync(path.join(folder, name), path.join(folder, "kept"));
        fs.symlinkSync("kept", path.join(folder, name));
        (await open(folder)).close();
        fs.rmSync(path.join(folder, name));
        fs.symlinkSync("../outside", path.join(folder, name));
        const { message } = await refusal(() => open(folder));
        expect(message).toBe(`${folder}/${name} links out of the folder, to ${fs.realpathSync(top)}/outside`);
      }),
  );

  test("in the Hub's cache may link only to the blobs of the same repository", () =>
    inFolder(async (cache) => {
      const snapshot = path.join(cache, "models--org--name", "snapshots", "abc");
      put(cache, {
        "models--org--name/blobs/1": fileOf(made),
        "models--org--name/blobs/2": config,
        "models--org--other/blobs/3": config,
        "models--org--name/refs/main": "abc",
      });
      fs.mkdirSync(snapshot, { recursive: true });
      fs.symlinkSync("../../blobs/1", path.join(snapshot, "model.safetensors"));
      fs.symlinkSync("../../blobs/2", path.join(snapshot, "config.json"));
      const checkpoint = await open(snapshot);
      expect(checkpoint.tensors.size).toBe(made.length);
      expect(text(checkpoint.files.get("config.json"))).toBe(config);
      fs.symlinkSync("../../../models--org--other/blobs/3", path.join(snapshot, "tokenizer.json"));
      expect((await refusal(() => open(snapshot))).message).toContain("links out of the folder");
      fs.rmSync(path.join(snapshot, "tokenizer.json"));
      fs.symlinkSync("../../refs/main", path.join(snapshot, "merges.txt"));
      expect((await refusal(() => open(snapshot))).message).toContain("links out of the folder");
    }));

  test("with a named pipe for a shard does not wait for its writer", () =>
    inFolder(async (folder) => {
      put(folder, whole);
      fs.rmSync(path.join(folder, SHARD1));
      expect(Bun.spawnSync(["mkfifo", path.join(folder, SHARD1)]).exitCode).toBe(0);
      expect((await refusal(() => open(folder))).message).toBe(`${folder}/${SHARD1} is not a regular file`);
    }));

  test("damaged in one shard leaves no file open", () =>
    inFolder(async (folder) => {
      put(folder, { ...whole, "model-00010-of-00010.safetensors": fileOf(rest).slice(0, -1) });
      const count = () => fs.readdirSync("/proc/self/fd").length;
      if (!fs.existsSync("/proc/self/fd")) return;
      const before = count();
      await refusal(() => open(folder));
      expect(count()).toBe(before);
    }));
});

describe("base+adapter", () => {
  test("splits at the last plus; a path that has one and exists is taken whole", () =>
    inFolder((folder) => {
      expect(splitAdapter("a+b")).toEqual({ base: "a", adapter: "b" });
      expect(splitAdapter("a+b+c")).toEqual({ base: "a+b", adapter: "c" });
      expect(splitAdapter("hf:org/a+hf:org/b")).toEqual({ base: "hf:org/a", adapter: "hf:org/b" });
      expect(splitAdapter("a")).toBeUndefined();
      expect(splitAdapter("+a")).toBeUndefined();
      expect(splitAdapter("a+")).toBeUndefined();
      fs.mkdirSync(path.join(folder, "c++"));
      fs.mkdirSync(path.join(folder, "lora+x"));
      expect(splitAdapter(path.join(folder, "c++"))).toBeUndefined();
      const adapter = path.join(folder, "lora+x");
      expect(splitAdapter(`base+${adapter}`)).toEqual({ base: "base", adapter });
    }));

  const adapterFiles = (base: unknown) => ({
    "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 2, base_model_name_or_path: base }),
    "adapter_model.safetensors": fileOf(make({ "base_model.model.w.lora_A.weight": ["F32", [2, 2]] })),
  });

  test("an adapter whose base is not there says what to write", () =>
    inFolder(async (folder) => {
      put(folder, adapterFiles("org/base"));
      const error = await refusal(() => open(folder));
      expect(error.message).toBe(
        `${folder}: adapter_config.json names org/base as its base, which is not on this machine`,
      );
      expect(error.hint).toBe(`write base+${folder}, where base is a folder or hf:org/base`);
      (await openPlain(folder)).close(); // but it can be opened as it is
    }));

  test("a file beside an adapter is not one; the adapter's own file is", () =>
    inFolder(async (folder) => {
      put(folder, { ...adapterFiles("../nowhere"), "x.safetensors": fileOf(made) });
      expect([...(await open(`${folder}/x.safetensors`)).files.keys()]).toEqual([]);
      const error = await refusal(() => open(`${folder}/adapter_model.safetensors`));
      expect(error.message).toContain("names ../nowhere as its base");
    }));

  test("factors without a config are named for what they are", () =>
    inFolder(async (folder) => {
      put(folder, { "x.safetensors": adapterFiles("")["adapter_model.safetensors"] });
      const { message } = await refusal(() => open(`${folder}/x.safetensors`));
      expect(message).toBe(`${folder}/x.safetensors is an adapter without adapter_config.json`);
    }));

  test("an adapter finds a base that its config names from its own folder", () =>
    inFolder(async (top) => {
      put(top, { "base-of-lora/model.safetensors": fileOf(make({ "w.weight": ["F32", [2, 2]] })) });
      const tensors = make({
        "base_model.model.w.lora_A.weight": ["F32", [1, 2]],
        "base_model.model.w.lora_B.weight": ["F32", [2, 1]],
      });
      const settings = {
        peft_type: "LORA",
        r: 1,
        lora_alpha: 1,
        target_modules: ["w"],
        base_model_name_or_path: "../base-of-lora",
      };
      put(top, {
        "lora/adapter_config.json": JSON.stringify(settings),
        "lora/adapter_model.safetensors": fileOf(tensors.map((t) => ({ ...t, data: new Uint8Array(t.bytes) }))),
      });
      for (const ref of ["lora", "lora/adapter_model.safetensors", "base-of-lora+LORA"]) {
        const checkpoint = await open(path.join(top, ref.replace("LORA", `${top}/lora`)));
        expect(lowRankOf(checkpoint.tensors.get("w.weight")).rank).toBe(1);
        checkpoint.close();
      }
    }));

  test("a model in the place of the adapter is refused", () =>
    inFolder(async (folder) => {
      put(folder, { "a/model.safetensors": fileOf(made), "b/model.safetensors": fileOf(made) });
      const error = await refusal(() => open(`${folder}/a+${folder}/b`));
      expect(error.message).toBe(`${folder}/b is not an adapter; only an adapter can be added to ${folder}/a`);
    }));
});
