/** Data sets of the Hub, from a server on this machine that speaks its API. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import { loadSequences } from "../../../src/data/dataset.ts";
import { fetchDataset, parseDatasetRef } from "../../../src/data/files/hub-dataset.ts";
import { parseGroups } from "../../../src/data/groups.ts";
import { readValues } from "../../../src/data/read-rows.ts";
import { COMMIT, type FakeHub, serveHub } from "../../checkpoint/hub/fixture.ts";
import { rejection } from "../support.ts";

const parquet = (...text: string[]): Uint8Array =>
  new Uint8Array(parquetWriteBuffer({ columnData: [{ name: "text", data: text, type: "STRING" }] }));

const FILES = {
  "README.md": "a data set",
  "default/train/0000.parquet": parquet("a", "b"),
  "default/train/0001.parquet": parquet("c"),
  "default/test/0000.parquet": parquet("t"),
  "large/partial-train/0000.parquet": parquet("p"),
};

let home: string;
let hub: FakeHub;
const saved = { ...process.env };
beforeEach(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-hub-data-"));
  hub = await serveHub(FILES, "org/rows", "datasets");
  hub.revisions = ["main", "refs/convert/parquet", "v1"];
  for (const name of Object.keys(process.env)) if (/^HF_|^HUGGING|^TRANSFORMERS/.test(name)) delete process.env[name];
  Object.assign(process.env, { HF_HOME: home, HF_ENDPOINT: hub.endpoint, INGOT_CACHE: path.join(home, "ingot") });
});
afterEach(() => {
  hub.close();
  for (const name of ["HF_HOME", "HF_ENDPOINT", "INGOT_CACHE", "HF_HUB_OFFLINE"]) delete process.env[name];
  Object.assign(process.env, saved);
  fs.rmSync(home, { recursive: true });
});

async function texts(ref: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { value, place } of readValues(ref)) {
    expect(place).toStartWith(`${ref}: `);
    found.push((value as { text: string }).text);
  }
  return found;
}

test("the files of a split are read in order, once fetched, with and without a network", async () => {
  expect(await texts("hf:datasets/org/rows")).toEqual(["a", "b", "c"]);
  expect(hub.fetched().map((name) => name.split(" ")[0])).toEqual([
    "default/train/0000.parquet",
    "default/train/0001.parquet",
  ]);
  const snapshot = path.join(home, "hub", "datasets--org--rows", "snapshots", COMMIT);
  expect(fs.readdirSync(path.join(snapshot, "default", "train")).sort()).toEqual(["0000.parquet", "0001.parquet"]);
  const before = hub.log.length;
  expect(await texts("hf:datasets/org/rows:default/train")).toEqual(["a", "b", "c"]);
  expect(hub.log.slice(before).filter(({ path: asked }) => asked.includes("/resolve/"))).toEqual([]);
  process.env.HF_HUB_OFFLINE = "1";
  const requests = hub.log.length;
  expect(await texts("hf:datasets/org/rows/train")).toEqual(["a", "b", "c"]);
  expect((await rejection(texts("hf:datasets/org/rows/test"))).message).toBe(
    "hf:datasets/org/rows/test is not in the cache, and HF_HUB_OFFLINE forbids fetching it",
  );
  expect(hub.log).toHaveLength(requests);
});

test("a broken transfer goes on where it stopped", async () => {
  hub.breaks.push(100);
  expect(await texts("hf:datasets/org/rows/test")).toEqual(["t"]);
  expect(hub.fetched()).toContain(
    `default/test/0000.parquet bytes=100-${FILES["default/test/0000.parquet"].length - 1}`,
  );
});

test("rows of the Hub give the tokens of the same rows from a file", async () => {
  const file = path.join(home, "same.jsonl");
  fs.writeFileSync(file, '{"text":"a"}\n{"text":"b"}\n{"text":"c"}\n');
  const tokens = async (data: string) =>
    (await loadSequences(parseGroups([data]), { tokenizer: byteTokenizer() })).sequences.map(({ ids }) => [...ids]);
  expect(await tokens("name=hf:datasets/org/rows")).toEqual(await tokens(file));
  expect(parseGroups(["hf:datasets/org/rows", "x=hf:datasets/org/rows:default/train"]).map(({ name }) => name)).toEqual(
    ["rows", "x"],
  );
});

describe("the repository's own files", () => {
  beforeEach(() => {
    hub.revisions = ["main", "v1"];
    hub.files.clear();
    for (const [name, ...rows] of [
      ["data/train-00000-of-00002.parquet", "1"],
      ["data/train-00001-of-00002.parquet", "2"],
      ["data/validation-00000-of-00001.parquet", "3"],
      ["fr/train-00000-of-00001.parquet", "4"],
      ["fr/train/note.txt"],
    ] as [string, ...string[]][])
      hub.files.set(name, rows.length > 0 ? parquet(...rows) : new Uint8Array(3));
  });
  test("are read where the Hub has converted none, and where a revision is named", async () => {
    expect(await texts("hf:datasets/org/rows")).toEqual(["1", "2"]);
    expect(await texts("hf:datasets/org/rows@v1/validation")).toEqual(["3"]);
    expect(await texts("hf:datasets/org/rows@v1:fr")).toEqual(["4"]);
  });
  test("are refused where none is Parquet", async () => {
    for (const name of [...hub.files.keys()]) if (name.endsWith("parquet")) hub.files.delete(name);
    expect((await rejection(texts("hf:datasets/org/rows"))).message).toEndWith("org/rows has no Parquet files");
  });
});

test("says what there is where a choice is missing, wrong or not whole", async () => {
  const error = await rejection(texts("hf:datasets/org/rows:none"));
  expect([error.message, error.hint]).toEqual([
    "hf:datasets/org/rows:none has no config none",
    "there are: default, large; name one after :",
  ]);
  expect((await rejection(texts("hf:datasets/org/rows/dev"))).hint).toBe("there are: test, train; name one after /");
  const partial = "the Hub has converted only the beginning of the split train";
  expect((await rejection(texts("hf:datasets/org/rows:large"))).message).toEndWith(partial);
  hub.files.delete("default/train/0000.parquet");
  hub.files.delete("default/train/0001.parquet");
  hub.files.set("default/dev/0000.parquet", parquet("d"));
  expect((await rejection(texts("hf:datasets/org/rows"))).message).toBe("hf:datasets/org/rows has several splits");
});

test("refuses what is no data set, says why the Hub refuses, and names a damaged file", async () => {
  expect((await rejection(texts("hf:org/model"))).hint).toBe("a data set of the Hub is written hf:datasets/org/name");
  hub.refuse = () => ({ status: 401, code: "RepoNotFound" });
  expect((await rejection(texts("hf:datasets/org/rows"))).message).toContain("there is no data set org/rows at");
  hub.refuse = () => ({ status: 403, code: "GatedRepo" });
  expect((await rejection(texts("hf:datasets/org/rows"))).hint).toContain(`${hub.endpoint}/datasets/org/rows`);
  hub.refuse = undefined;
  hub.files.set("default/test/0000.parquet", new TextEncoder().encode("PAR1 nothing PAR1"));
  expect((await rejection(texts("hf:datasets/org/rows/test"))).message).toStartWith(
    "hf:datasets/org/rows/test: default/test/0000.parquet cannot be read as Parquet",
  );
  hub.tree = (entries) => [...entries, { type: "file", path: "../x.parquet", size: 1, oid: COMMIT }];
  expect((await rejection(fetchDataset("hf:datasets/org/rows"))).message).toContain("does not answer as the Hub does");
});

test("references", () => {
  const parts = (ref: string) => Object.values(parseDatasetRef(ref));
  expect(parts("hf:datasets/o/n")).toEqual(["o/n", undefined, undefined, undefined]);
  expect(parts("hf:datasets/gsm8k:main/test")).toEqual(["gsm8k", undefined, "main", "test"]);
  expect(parts("hf:datasets/o/n@refs/pr/1:c/s")).toEqual(["o/n", "refs/pr/1", "c", "s"]);
  expect(parts("hf:datasets/o/n@v1.0/s")).toEqual(["o/n", "v1.0", undefined, "s"]);
  for (const odd of ["", "o/n:", "o/n/s/t", "../x", "o/n@", "o/n:c/../x", "o/n:.."])
    expect(() => parseDatasetRef(`hf:datasets/${odd}`)).toThrow("is not a data set of the Hub");
});
