/** Results that go to the Hub, against a server that speaks its API. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { LineageEntry, TensorInfo } from "../../../src/checkpoint/checkpoint.ts";
import { makeCard } from "../../../src/checkpoint/hub/card.ts";
import { createWriter } from "../../../src/checkpoint/write/write.ts";
import { UserError } from "../../../src/errors.ts";
import { serveUploads, type UploadHub } from "./upload-fixture.ts";

let home: string;
let hub: UploadHub;
const cache = process.env.INGOT_CACHE;
beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-upload-"));
  hub = serveUploads();
  process.env.INGOT_CACHE = path.join(home, "cache");
});
afterEach(() => {
  hub.close();
  fs.rmSync(home, { recursive: true });
  if (cache === undefined) delete process.env.INGOT_CACHE;
  else process.env.INGOT_CACHE = cache;
});

const TENSORS: TensorInfo[] = ["a", "b", "c"].map((name) => ({ name, dtype: "F32", shape: [2], bytes: 8 }));
const STEP: LineageEntry = {
  ...{ script: "merge", version: "0.1.0", method: "linear", options: { weight: 0.5 }, seed: 0, run: "abc", time: "" },
  inputs: [
    { ref: "hf:org/one", role: "model", revision: "f".repeat(40), header_sha256: "1" },
    { ref: "hf:org/two", role: "model", header_sha256: "2" },
  ],
};
const files = new Map([["config.json", new TextEncoder().encode('{"model_type":"llama"}')]]);
const env = (more = {}) => ({ HF_HOME: home, HF_ENDPOINT: hub.endpoint, HF_TOKEN: "hf_secret", ...more });

/** Writes a model of three tensors; gives what was warned of. */
async function write(ref: string, { shards = 1, environment = env() as Record<string, string> } = {}) {
  const warnings: string[] = [];
  const warn = (text: string) => void warnings.push(text);
  const plan = { tensors: TENSORS, files, lineage: [STEP] };
  const writer = await createWriter(ref, plan, { shards, flush: false, hub: { env: environment, warn } });
  for (const [i, { name }] of writer.tensors.entries()) {
    await writer.write(name, new Uint8Array(Float32Array.of(i, -i).buffer));
  }
  await writer.finish();
  return warnings;
}

const refusal = async (work: Promise<unknown>): Promise<UserError> => {
  const error = await work.then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return error;
};
const uploads = () => hub.log.filter((line) => line.startsWith("PUT"));
const staged = () => path.join(home, "cache", "uploads", "org--new");

describe("a new repository", () => {
  test("is made private, with the files of a folder and a card", async () => {
    hub.repositories.set("org/one", new Map()).set("org/two", new Map());
    for (const name of ["org/one", "org/two"]) hub.tags.set(name, ["text", "license:apache-2.0"]);
    expect(await write("hf:org/new")).toEqual([]);
    expect(hub.made.get("org/new")).toBe("private");
    const sent = hub.repositories.get("org/new")!;
    expect([...sent.keys()].sort()).toEqual(["README.md", "config.json", "model.safetensors"]);
    await createFolder();
    expect(sent.get("model.safetensors")).toEqual(
      new Uint8Array(fs.readFileSync(path.join(home, "out/model.safetensors"))),
    );
    const card = new TextDecoder().decode(sent.get("README.md"));
    expect(card).toStartWith(
      "---\nlicense: apache-2.0\nlibrary_name: transformers\nbase_model:\n  - org/one\n  - org/two\n",
    );
    expect(card).toContain("base_model_relation: merge");
    expect(card).toContain("1. `merge` with `linear`, seed 0, run `abc`");
    expect(fs.existsSync(staged())).toBe(false);
    expect([...hub.tokens]).toEqual(["Bearer hf_secret"]);
  });

  async function createFolder() {
    const writer = await createWriter(
      path.join(home, "out/"),
      { tensors: TENSORS, files, lineage: [STEP] },
      { flush: false },
    );
    for (const [i, { name }] of writer.tensors.entries())
      await writer.write(name, new Uint8Array(Float32Array.of(i, -i).buffer));
    await writer.finish();
  }
});

test("an upload that breaks keeps the result, and the next run sends what has not arrived", async () => {
  hub.accepts = 1;
  const { message, hint } = await refusal(write("hf:org/new", { shards: 3 }));
  expect(message).toBe(`hf:org/new: ${new URL(hub.endpoint).host} answered 503 to an upload`);
  expect(hint).toContain(`${staged()} holds the whole result`);
  expect(fs.readdirSync(staged())).toContain("model.safetensors.index.json");
  expect(hub.repositories.get("org/new")!.size).toBe(0);
  hub.accepts = 2;
  hub.log.length = 0;
  await write("hf:org/new", { shards: 3 });
  expect(uploads().length).toBe(2);
  expect([...hub.repositories.get("org/new")!.keys()].filter((name) => name.endsWith(".safetensors")).length).toBe(3);
});

test("a repository that is there keeps its card and loses weights of another layout", async () => {
  const old = ["README.md", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const index = "model.safetensors.index.json";
  hub.repositories.set("org/new", new Map([...old, index, "notes.txt"].map((name) => [name, new Uint8Array(3)])));
  const warnings = await write("hf:org/new");
  expect(warnings).toEqual([`hf:org/new: ${old[1]}, ${old[2]}, ${index} of the model before are removed`]);
  expect(hub.made.size).toBe(0);
  const sent = hub.repositories.get("org/new")!;
  expect([...sent.keys()].sort()).toEqual(["README.md", "config.json", "model.safetensors", "notes.txt"]);
  expect(sent.get("README.md")).toEqual(new Uint8Array(3));
});

describe("is refused before anything is written", () => {
  const cases: [string, string, () => Promise<unknown>][] = [
    [
      "no token",
      "hf:org/new needs a token, and there is none",
      () => write("hf:org/new", { environment: env({ HF_TOKEN: "" }) as never }),
    ],
    [
      "no network",
      "hf:org/new cannot be written: HF_HUB_OFFLINE is set",
      () => write("hf:org/new", { environment: env({ HF_HUB_OFFLINE: "1" }) as never }),
    ],
    ["no owner", "hf:new names no owner", () => write("hf:new")],
    [
      "a file",
      "hf:org/new:a.safetensors names a file; a result is a whole repository",
      () => write("hf:org/new:a.safetensors"),
    ],
    ["another's place", "hf:them/new: me, whose token this is, is not in them", () => write("hf:them/new")],
    [
      "a token that reads",
      "hf:org/new: the token of me may only read",
      () => {
        hub.owner = { ...hub.owner, auth: { accessToken: { role: "read" } } };
        return write("hf:org/new");
      },
    ],
  ];
  test.each(cases)("%s", async (_, message, run) => {
    expect((await refusal(run())).message).toBe(message);
    expect(hub.repositories.size).toBe(0);
    expect(fs.existsSync(staged())).toBe(false);
  });
});

describe("a card", () => {
  const licences = (known: Record<string, string>) => async (ref: string) => known[ref];

  test("states no licence where the models differ", async () => {
    const { text, warnings } = await makeCard(
      "org/new",
      [STEP],
      false,
      licences({ "hf:org/one": "mit", "hf:org/two": "gemma" }),
    );
    expect(warnings).toEqual([
      "the models differ in their licences, so the card states none: hf:org/one is under mit, hf:org/two is under gemma",
    ]);
    expect(text).not.toContain("license:");
    expect(text).toContain("## Licence");
  });

  test("states none where one is unknown", async () => {
    const { text, warnings } = await makeCard("org/new", [STEP], false, licences({ "hf:org/one": "mit" }));
    expect(warnings).toEqual(["no licence is stated by hf:org/two, so the card states none"]);
    expect(text).not.toContain("license:");
  });

  test("of an adapter names its base, and no folder of this machine", async () => {
    const inputs = [{ ref: "/home/someone/base+hf:org/adapter", role: "model", header_sha256: "1" }];
    const { text } = await makeCard("org/new", [{ ...STEP, inputs }], true, licences({}));
    expect(text).toContain("library_name: peft");
    expect(text).toContain("base_model:\n  - org/adapter\nbase_model_relation: adapter");
    expect(text).not.toContain("/home");
  });
});
