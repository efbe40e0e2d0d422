import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { cacheFolder, place, readToken } from "../../../src/checkpoint/hub/cache.ts";
import { parseHubRef, resolveHub } from "../../../src/checkpoint/hub/hub.ts";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { UserError } from "../../../src/errors.ts";
import { noise } from "../adapter/fixture.ts";
import { dict, pickled, tensor, torchFile } from "../pickle/fixture.ts";
import { COMMIT, type FakeHub, serveHub, sha256 } from "./fixture.ts";

const GOLDEN = path.join(import.meta.dir, "../../golden/train/lora-base");
const weights = new Uint8Array(fs.readFileSync(path.join(GOLDEN, "model.safetensors")));
const FILES = {
  "config.json": fs.readFileSync(path.join(GOLDEN, "config.json"), "utf8"),
  "tokenizer.json": '{"a": 1}',
  "model.safetensors": weights,
  "pytorch_model.bin": "pickle",
  "README.md": "text",
  "original/consolidated.safetensors": "other",
};

let home: string;
let hub: FakeHub;
beforeEach(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-hub-"));
  hub = await serveHub(FILES);
});
afterEach(() => {
  hub.close();
  fs.rmSync(home, { recursive: true });
});

const env = (more: Record<string, string> = {}) => ({ HF_HOME: home, HF_ENDPOINT: hub.endpoint, ...more });
const resolve = (ref: string, more?: Record<string, string>) => resolveHub(ref, { env: env(more) });
const refusal = async (ref: string, more?: Record<string, string>): Promise<UserError> => {
  const error = await resolve(ref, more).then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return error;
};
const repository = () => path.join(home, "hub", "models--org--tiny");
const random = (length: number) => new Uint8Array(noise(length, 1).map((value) => value * 128 + 128));

describe("a first run", () => {
  test("fetches config, tokenizer and safetensors into the Python client's layout, and nothing else", async () => {
    const { path: snapshot, revision } = await resolve("hf:org/tiny");
    expect(revision).toBe(COMMIT);
    expect(snapshot).toBe(path.join(repository(), "snapshots", COMMIT));
    expect(fs.readdirSync(snapshot).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    expect(hub.fetched()).toEqual(["config.json", "tokenizer.json", "model.safetensors"]);
    expect(fs.readFileSync(path.join(repository(), "refs", "main"), "utf8")).toBe(COMMIT);
    expect(fs.readlinkSync(path.join(snapshot, "model.safetensors"))).toBe(
      path.join("..", "..", "blobs", sha256(weights)),
    );
    expect(new Uint8Array(fs.readFileSync(path.join(snapshot, "model.safetensors")))).toEqual(weights);
    expect(fs.readdirSync(path.join(repository(), "blobs")).some((name) => name.endsWith(".incomplete"))).toBe(false);
    const checkpoint = await openPlain(snapshot);
    expect(checkpoint.tensors.size).toBeGreaterThan(10);
    checkpoint.close();
  });

  test("prints nothing and counts the bytes", async () => {
    const spies = (["log", "info", "debug", "warn", "error"] as const).map((name) => spyOn(console, name));
    const steps: string[] = [];
    await resolveHub("hf:org/tiny", {
      env: env(),
      progress: ({ file, done, size }) => done === size && steps.push(`${file} ${size}`),
    });
    for (const spy of spies) {
      expect(spy).not.toHaveBeenCalled();
      spy.mockRestore();
    }
    expect(steps).toEqual([
      `config.json ${FILES["config.json"].length}`,
      "tokenizer.json 8",
      `model.safetensors ${weights.length}`,
    ]);
  });
});

test("a second run fetches no file, a new commit only what changed", async () => {
  await resolve("hf:org/tiny");
  hub.log.length = 0;
  await resolve("hf:org/tiny");
  expect(hub.fetched()).toEqual([]);
  expect(hub.log.length).toBe(2);
  hub.files.set("tokenizer.json", new TextEncoder().encode("{}"));
  fs.rmSync(path.join(repository(), "snapshots"), { recursive: true });
  const { path: snapshot } = await resolve("hf:org/tiny");
  expect(hub.fetched()).toEqual(["tokenizer.json"]);
  expect(fs.readFileSync(path.join(snapshot, "tokenizer.json"), "utf8")).toBe("{}");
});

test("a revision has its own ref, a commit has none", async () => {
  await resolve("hf:org/tiny@refs/pr/1");
  expect(fs.readFileSync(path.join(repository(), "refs", "refs", "pr", "1"), "utf8")).toBe(COMMIT);
  fs.rmSync(path.join(repository(), "refs"), { recursive: true });
  await resolve(`hf:org/tiny@${COMMIT}`);
  expect(fs.existsSync(path.join(repository(), "refs"))).toBe(false);
});

test("shards are those that the index names", async () => {
  hub.files.delete("model.safetensors");
  for (const name of ["a-1.safetensors", "a-2.safetensors", "consolidated.safetensors"])
    hub.files.set(name, random(name.length + name.charCodeAt(2)));
  const index = (map: Record<string, string>) =>
    hub.files.set("model.safetensors.index.json", new TextEncoder().encode(JSON.stringify({ weight_map: map })));
  index({ x: "a-1.safetensors", y: "a-2.safetensors", z: "a-1.safetensors" });
  await resolve("hf:org/tiny");
  expect(hub.fetched().slice(-2)).toEqual(["a-1.safetensors", "a-2.safetensors"]);
  expect(hub.fetched()).not.toContain("consolidated.safetensors");
  index({ x: "a-3.safetensors" });
  expect((await refusal("hf:org/tiny")).message).toBe(
    "hf:org/tiny: model.safetensors.index.json names a-3.safetensors, which the repository does not have",
  );
  index({ x: "../../../a.safetensors" });
  expect((await refusal("hf:org/tiny")).message).toContain("which is not a safetensors file inside the folder");
});

test("an adapter is fetched as such", async () => {
  hub.files.delete("model.safetensors");
  hub.files.set("adapter_config.json", new TextEncoder().encode("{}"));
  hub.files.set("adapter_model.safetensors", random(99));
  const { path: snapshot } = await resolve("hf:org/tiny");
  expect(fs.readdirSync(snapshot)).toContain("adapter_model.safetensors");
  expect(fs.readdirSync(snapshot)).toContain("adapter_config.json");
});

test("one named file comes alone, safetensors with their config", async () => {
  hub.files.set("x.gguf", random(99));
  hub.files.set("sub dir/v 2.safetensors", random(98));
  hub.files.set("sub dir/config.json", new Uint8Array());
  const { path: gguf } = await resolve("hf:org/tiny:x.gguf");
  expect(gguf).toBe(path.join(repository(), "snapshots", COMMIT, "x.gguf"));
  expect(hub.fetched()).toEqual(["x.gguf"]);
  const { path: other } = await resolve("hf:org/tiny@main:sub dir/v 2.safetensors");
  expect(new Uint8Array(fs.readFileSync(other))).toEqual(random(98));
  expect(hub.fetched()).toEqual(["x.gguf", "sub dir/v 2.safetensors"]);
  expect(fs.statSync(path.join(path.dirname(other), "config.json")).size).toBe(0);
});

describe("a broken transfer", () => {
  const big = random(3_000_000);
  beforeEach(() => void hub.files.set("model.safetensors", big));
  const incomplete = () => path.join(repository(), "blobs", `${sha256(big)}.incomplete`);

  test("goes on in the same run at the byte where it broke off", async () => {
    hub.breaks.push(5000, 5000, 1_000_000);
    hub.files.delete("config.json");
    hub.files.delete("tokenizer.json");
    const { path: snapshot } = await resolve("hf:org/tiny");
    const ranges = hub.fetched();
    expect(ranges[0]).toBe("model.safetensors");
    expect(ranges.slice(1)).toEqual(["5000", "10000", "1010000"].map((at) => `model.safetensors bytes=${at}-2999999`));
    expect(new Uint8Array(fs.readFileSync(path.join(snapshot, "model.safetensors")))).toEqual(big);
  });

  test("that stays broken is kept, and the next run starts at its end", async () => {
    hub.files.delete("config.json");
    hub.files.delete("tokenizer.json");
    hub.breaks.push(70_000, 0);
    const error = await refusal("hf:org/tiny");
    expect(error.message).toBe("hf:org/tiny: the transfer of model.safetensors broke off at byte 70000 of 3000000");
    expect(error.exitCode).toBe(1);
    expect(new Uint8Array(fs.readFileSync(incomplete()))).toEqual(big.slice(0, 70_000));
    hub.log.length = 0;
    const steps: number[] = [];
    const { path: snapshot } = await resolveHub("hf:org/tiny", {
      env: env(),
      progress: ({ done }) => steps.push(done),
    });
    expect(hub.fetched()).toEqual(["model.safetensors bytes=70000-2999999"]);
    expect(steps[0]).toBeGreaterThan(70_000);
    expect(new Uint8Array(fs.readFileSync(path.join(snapshot, "model.safetensors")))).toEqual(big);
    expect(fs.existsSync(incomplete())).toBe(false);
  });

  test("whose rest the server will not send starts over", async () => {
    fs.mkdirSync(path.dirname(incomplete()), { recursive: true });
    fs.writeFileSync(incomplete(), big.slice(0, 1000));
    hub.ignoreRanges = true;
    const { path: snapshot } = await resolve("hf:org/tiny");
    expect(hub.fetched().slice(-2)).toEqual(["model.safetensors bytes=1000-2999999", "model.safetensors"]);
    expect(new Uint8Array(fs.readFileSync(path.join(snapshot, "model.safetensors")))).toEqual(big);
  });

  test("whose start is not the file's is thrown away", async () => {
    fs.mkdirSync(path.dirname(incomplete()), { recursive: true });
    fs.writeFileSync(incomplete(), new Uint8Array(1000));
    expect((await refusal("hf:org/tiny")).message).toBe(
      "hf:org/tiny: the contents of model.safetensors do not have the hash that was listed",
    );
    await resolve("hf:org/tiny");
    expect(hub.fetched().at(-1)).toBe("model.safetensors");
  });
});

test("a file of another size than listed is refused", async () => {
  hub.tree = (entries) => entries.map((entry) => ({ ...entry, ...(entry.path === "config.json" ? { size: 10 } : {}) }));
  expect((await refusal("hf:org/tiny")).message).toBe(
    "hf:org/tiny: config.json is longer than the 10 bytes that were listed",
  );
  hub.tree = (entries) =>
    entries.map((entry) => ({ ...entry, ...(entry.path === "config.json" ? { size: 10_000 } : {}) }));
  expect((await refusal("hf:org/tiny")).message).toMatch(
    /^hf:org\/tiny: the transfer of config.json broke off at byte \d+ of 10000$/,
  );
});

describe("the token", () => {
  test("is sent to the Hub, whatever its form, and not where the Hub sends downloads", async () => {
    const other = await serveHub(FILES);
    hub.redirect = other.endpoint;
    await resolve("hf:org/tiny", { HF_TOKEN: "secret-of-a-mirror" });
    expect(new Set(hub.log.map(({ token }) => token))).toEqual(new Set(["Bearer secret-of-a-mirror"]));
    expect(other.log.length).toBe(3);
    expect(other.log.every(({ token }) => token === undefined)).toBe(true);
    other.close();
  });

  test("is not sent where a listing says it goes on", async () => {
    const other = await serveHub({ "merges.txt": "a b" });
    hub.next = other.endpoint;
    hub.files.set("merges.txt", new TextEncoder().encode("a b"));
    await resolve("hf:org/tiny", { HF_TOKEN: "hf_secret" });
    expect(other.log.map(({ token }) => token)).toEqual([undefined]);
    other.close();
  });

  test("comes from HF_TOKEN, then from the file that the Python client wrote", async () => {
    fs.writeFileSync(path.join(home, "token"), "hf_stored\n");
    fs.writeFileSync(path.join(home, "other"), "hf_other");
    expect(await readToken({ HF_HOME: home })).toBe("hf_stored");
    expect(await readToken({ HF_HOME: home, HF_TOKEN: " hf_stated " })).toBe("hf_stated");
    expect(await readToken({ HF_HOME: home, HF_TOKEN_PATH: path.join(home, "other") })).toBe("hf_other");
    expect(await readToken({ HF_HOME: path.join(home, "none") })).toBeUndefined();
  });
});

test("the cache is where the Python client has it", () => {
  expect(cacheFolder({ HF_HUB_CACHE: "/a", HF_HOME: "/b" })).toBe("/a");
  expect(cacheFolder({ HUGGINGFACE_HUB_CACHE: "/a", HF_HOME: "/b" })).toBe("/a");
  expect(cacheFolder({ HF_HOME: "/b" })).toBe(path.join("/b", "hub"));
  expect(cacheFolder({ XDG_CACHE_HOME: "/c" })).toBe(path.join("/c", "huggingface", "hub"));
  expect(cacheFolder({})).toBe(path.join(os.homedir(), ".cache", "huggingface", "hub"));
  expect(cacheFolder({ HF_HOME: "~/hf" })).toBe(path.join(os.homedir(), "hf", "hub"));
});

describe("offline", () => {
  test("the cache is used without a request", async () => {
    const { path: snapshot } = await resolve("hf:org/tiny");
    hub.log.length = 0;
    for (const ref of ["hf:org/tiny", "hf:org/tiny@main", `hf:org/tiny@${COMMIT}`]) {
      expect(await resolve(ref, { HF_HUB_OFFLINE: "1" })).toEqual({ path: snapshot, revision: COMMIT });
    }
    const { path: file } = await resolve("hf:org/tiny:config.json", { HF_HUB_OFFLINE: "true" });
    expect(file).toBe(path.join(snapshot, "config.json"));
    expect(hub.log).toEqual([]);
  });

  test("what is not there is refused", async () => {
    await resolve("hf:org/tiny:config.json");
    for (const ref of ["hf:org/tiny", "hf:org/other", "hf:org/tiny@v2", "hf:org/tiny:x.gguf"]) {
      const error = await refusal(ref, { HF_HUB_OFFLINE: "ON" });
      expect(error.message).toBe(`${ref} is not in the cache, and HF_HUB_OFFLINE forbids fetching it`);
      expect(error.hint).toContain("unset HF_HUB_OFFLINE");
    }
  });

  test("a network that is down is one line", async () => {
    const { port } = new URL(hub.endpoint);
    hub.close();
    const error = await refusal("hf:org/tiny");
    expect(error.message).toStartWith(`hf:org/tiny: no answer from 127.0.0.1:${port} (`);
    expect(error.message).not.toContain("\n");
    expect(error.exitCode).toBe(1);
    expect(error.hint).toContain("HF_HUB_OFFLINE=1");
  });
});

describe("refusals of the Hub", () => {
  test("gated models name the page and HF_TOKEN", async () => {
    hub.refuse = (at) => (at.includes("/resolve/") ? { status: 401, code: "GatedRepo" } : undefined);
    const error = await refusal("hf:org/tiny");
    expect(error.message).toBe("hf:org/tiny: org/tiny is gated, and no token was sent");
    expect(error.hint).toBe(
      `accept the licence on ${hub.endpoint}/org/tiny, then set HF_TOKEN to a token of that account`,
    );
    hub.refuse = () => ({ status: 403, code: "GatedRepo" });
    expect((await refusal("hf:org/tiny", { HF_TOKEN: "hf_x" })).message).toBe(
      "hf:org/tiny: org/tiny is gated, and the account of this token has no access",
    );
    hub.refuse = () => ({ status: 403 });
    expect((await refusal("hf:org/tiny", { HF_TOKEN: "hf_x" })).message).toBe(
      "hf:org/tiny: org/tiny may not be read with this token",
    );
  });

  test("a missing repository, revision, folder and file are told apart", async () => {
    const { host } = new URL(hub.endpoint);
    expect((await refusal("hf:org/tiny@v9")).message).toBe("hf:org/tiny@v9: org/tiny has no revision v9");
    const file = await refusal("hf:org/tiny:no.safetensors");
    expect(file.message).toBe("hf:org/tiny:no.safetensors: org/tiny at main has no file no.safetensors");
    expect(file.hint).toBe("there are: model.safetensors");
    expect((await refusal("hf:org/tiny:no/x.gguf")).message).toBe(
      "hf:org/tiny:no/x.gguf: org/tiny at main has no file or folder no",
    );
    const missing = `there is no model org/none at main on ${host}, or it is private`;
    expect((await refusal("hf:org/none")).message).toBe(`hf:org/none: ${missing}`);
    hub.refuse = () => ({ status: 401 });
    const hidden = await refusal("hf:org/none");
    expect(hidden.message).toBe(`hf:org/none: ${missing}`);
    expect(hidden.hint).toContain("HF_TOKEN");
  });

  test("a failing server is reported, and what came is kept", async () => {
    hub.refuse = (at) => (at.endsWith("model.safetensors") ? { status: 503 } : undefined);
    const error = await refusal("hf:org/tiny");
    expect(error.message).toContain("answered 503 to /org/tiny/resolve/");
    expect(error.exitCode).toBe(1);
    hub.refuse = () => ({ status: 429 });
    expect((await refusal("hf:org/tiny")).message).toContain("refuses more requests for now");
    hub.refuse = undefined;
    hub.log.length = 0;
    await resolve("hf:org/tiny");
    expect(hub.fetched()).toEqual(["model.safetensors"]);
  });

  test("a repository without safetensors says what it has", async () => {
    hub.files.delete("model.safetensors");
    hub.files.delete("pytorch_model.bin");
    expect((await refusal("hf:org/tiny")).message).toBe("hf:org/tiny: org/tiny has no safetensors");
    hub.files.set("training_args.bin", random(9));
    const other = await refusal("hf:org/tiny");
    expect(other.message).toBe(
      "hf:org/tiny: org/tiny has no safetensors and no pytorch_model.bin, but training_args.bin",
    );
    expect(other.hint).toBe("name a file of tensors, as hf:org/tiny:training_args.bin");
    hub.files.set("q8.gguf", random(9));
    expect((await refusal("hf:org/tiny")).hint).toBe("name a file, as hf:org/tiny:q8.gguf");
    for (const name of ["a.safetensors", "b.safetensors"]) hub.files.set(name, random(9));
    const several = await refusal("hf:org/tiny");
    expect(several.message).toContain("has 2 safetensors files but no index");
    expect(several.hint).toBe("name one of them: a.safetensors, b.safetensors");
    expect(hub.fetched()).toEqual([]);
  });
});

test("a part of a GGUF model brings the others", async () => {
  const name = (i: number) => `q8-0000${i}-of-00002.gguf`;
  hub.files.set(name(1), random(9));
  expect((await refusal(`hf:org/tiny:${name(1)}`)).message).toBe(
    `hf:org/tiny:${name(1)} is a part of a model, and the repository has no ${name(2)}`,
  );
  hub.files.set(name(2), random(8));
  const { path: found } = await resolve(`hf:org/tiny:${name(1)}`);
  expect(path.basename(found)).toBe(name(1));
  expect(fs.readdirSync(path.dirname(found)).sort()).toEqual([name(1), name(2)]);
});

describe("PyTorch's own files, where there are no safetensors", () => {
  const view = (key: string) => tensor({ key, elements: 4, shape: [2, 2], strides: [1, 2] });
  const bytes = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer);
  const file = (name: string) => torchFile(pickled(dict({ [name]: view("0") })), { 0: bytes });
  const opened = async (ref: string) => {
    const { path: found, revision } = await resolve(ref);
    const checkpoint = await openPlain(found);
    const names = [...checkpoint.tensors.keys()];
    const read = new Uint8Array(16);
    await checkpoint.tensors.get(names[0]!)!.read(read, 0);
    checkpoint.close();
    return { names, read: [...new Float32Array(read.buffer)], revision };
  };
  beforeEach(() => void hub.files.delete("model.safetensors"));

  test("one file, by the repository or by its name, and again without the network", async () => {
    hub.files.set("pytorch_model.bin", file("w"));
    const wanted = { names: ["w"], read: [1, 3, 2, 4], revision: COMMIT };
    expect(await opened("hf:org/tiny")).toEqual(wanted);
    expect(await opened("hf:org/tiny:pytorch_model.bin")).toEqual(wanted);
    expect(hub.fetched()).toEqual(["config.json", "tokenizer.json", "pytorch_model.bin"]);
    const { path: found } = await resolve("hf:org/tiny", { HF_HUB_OFFLINE: "1" });
    expect(fs.readdirSync(found).sort()).toEqual(["config.json", "pytorch_model.bin", "tokenizer.json"]);
  });

  test("several files by their index", async () => {
    hub.files.delete("pytorch_model.bin");
    const shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"] as const;
    const index = { weight_map: { a: shards[0], b: shards[1] } };
    hub.files.set("pytorch_model.bin.index.json", new TextEncoder().encode(JSON.stringify(index)));
    hub.files.set(shards[0], file("a"));
    expect((await refusal("hf:org/tiny")).message).toContain(`names ${shards[1]}, which the repository does not have`);
    hub.files.set(shards[1], file("b"));
    expect((await opened("hf:org/tiny")).names).toEqual(["a", "b"]);
  });
});

test("answers that lead out of the cache, or make no sense, are refused and write nothing", async () => {
  const hostile: Record<string, unknown>[] = [
    { path: "../../../../evil.json" },
    { path: "/etc/evil.json" },
    { path: "..\\evil.json" },
    { path: "C:evil.json" },
    { path: "sub/config.json" },
    { path: 5 },
    { oid: "../../evil", lfs: undefined },
    { lfs: { oid: "../../evil", size: 3 } },
    { size: -1, lfs: undefined },
    { size: 1e300, lfs: undefined },
  ];
  for (const change of hostile) {
    hub.tree = (entries) => [{ ...entries[0], ...change }, ...entries.slice(1)];
    expect((await refusal("hf:org/tiny")).message).toContain("does not answer as the Hub does");
  }
  for (const answer of [null, 7, [null], { a: 1 }]) {
    hub.tree = () => answer;
    expect((await refusal("hf:org/tiny")).message).toContain("does not answer as the Hub does");
  }
  hub.commit = "../../evil";
  expect((await refusal("hf:org/tiny")).message).toContain("as the Hub does: the commit ../../evil");
  expect(hub.fetched()).toEqual([]);
  expect(fs.existsSync(repository())).toBe(false);
});

test("references are parsed, and what is none is refused before any request", async () => {
  expect(parseHubRef("hf:gpt2")).toEqual({ name: "gpt2", revision: "main", file: undefined });
  expect(parseHubRef("hf:a/b.c-1@refs/pr/2:d/e.gguf")).toEqual({
    name: "a/b.c-1",
    revision: "refs/pr/2",
    file: "d/e.gguf",
  });
  for (const ref of [
    "hf:",
    "hf:a/b/c",
    "hf:../b",
    "hf:a/..",
    "hf:a/b@../x",
    "hf:a/b:../x",
    "hf:a/b:/x",
    "hf:a/b:x\\y",
    "hf:a--b/c",
  ]) {
    expect((await refusal(ref)).message).toEndWith("is not a model of the Hub");
  }
  expect((await refusal("hf:a/b", { HF_ENDPOINT: "ftp://x" })).message).toContain("HF_ENDPOINT is ftp://x");
  expect(hub.log).toEqual([]);
});

test("where links are forbidden, a snapshot holds the file itself", async () => {
  const blob = path.join(home, "blob");
  fs.writeFileSync(blob, "contents");
  const forbidden = async () => {
    throw Object.assign(new Error("EPERM"), { code: "EPERM" });
  };
  const pointer = path.join(home, "snapshots", "c", "x");
  for (let round = 0; round < 2; round++) {
    await place(blob, pointer, forbidden as never);
    expect(fs.lstatSync(pointer).isSymbolicLink()).toBe(false);
    expect(fs.readFileSync(pointer, "utf8")).toBe("contents");
  }
});
