/** Tokens kept on disk: the same sequences as from the rows, and never those of other rows, options or tokenizers. */
import { afterAll, beforeEach, expect, setSystemTime, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { loadSequences } from "../../src/data/dataset.ts";
import { parseGroups } from "../../src/data/groups.ts";
import type { EncodeOptions, TokenCache } from "../../src/data/sequences.ts";
import { Split } from "../../src/data/split.ts";
import { rejection } from "./support.ts";

const home = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-token-cache-"));
afterAll(() => fs.rmSync(home, { recursive: true, force: true }));
const file = path.join(home, "rows.jsonl");
const folder = path.join(home, "cache");
const tokenizer = byteTokenizer();
const cache: TokenCache = { files: [tokenizer.files], settings: { template: "auto" }, folder, leastBytes: 0 };
beforeEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const write = (...rows: object[]) => fs.writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
const load = (options: EncodeOptions = {}, from = file, columns?: string) =>
  loadSequences(parseGroups([`other=${file}`, `own=${from}`].slice(from === file ? 1 : 0), columns), {
    tokenizer,
    ...options,
  });
const kept = () => fs.readdirSync(path.join(folder, "tokens")).filter((name) => name.endsWith(".index"));

const row = fc.oneof(
  fc.record({ text: fc.string({ minLength: 1, maxLength: 40, unit: "binary" }) }),
  fc.record({ prompt: fc.string({ maxLength: 9 }), completion: fc.string({ minLength: 2, maxLength: 9 }) }),
  fc.record({ input_ids: fc.array(fc.nat(250), { minLength: 2, maxLength: 30 }) }),
);

test("gives the sequences of the rows: first from them, then from the disk", async () => {
  const how = { maxLength: fc.constantFrom(7, 1000), overflow: fc.constantFrom("truncate" as const, "split" as const) };
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 12 }), fc.record(how), async (rows, options) => {
      write({ text: "always" }, ...rows);
      const plain = await load(options);
      const cuts: unknown[][] = [[], []];
      for (const seen of cuts) {
        const found = await load({ ...options, cache, cut: (...cut) => seen.push(cut) });
        expect(found).toEqual(plain);
        for (const { ids, labels } of found.sequences) labels.set(ids.slice().fill(0)); // a run's own copy
      }
      expect(cuts[1]).toEqual(cuts[0]!.slice(0, 1));
    }),
    { numRuns: 15 },
  );
}, 120_000);

test("a second run does not read the rows", async () => {
  write({ text: "one" }, { text: "two" });
  const before = await load({ cache });
  const [data] = fs.readdirSync(path.join(folder, "tokens")).filter((name) => name.endsWith(".i32"));
  const stored = path.join(folder, "tokens", data!);
  const values = new Int32Array(new Uint8Array(fs.readFileSync(stored)).buffer);
  values[0] = 77;
  fs.writeFileSync(`${stored}.new`, new Uint8Array(values.buffer));
  fs.renameSync(`${stored}.new`, stored);
  expect((await load({ cache })).sequences[0]!.ids[0]).toBe(77);
  expect(before.sequences[0]!.ids[0]).not.toBe(77);
});

test("both sides of rows that are divided have entries of their own", async () => {
  write(...Array.from({ length: 30 }, (_, i) => ({ text: `row ${i}` })));
  const split = new Split(0.3, 1);
  const rest = split.rest(parseGroups([`own=${file}`]));
  const sides = () => Promise.all([rest, split.heldOut].map((side) => loadSequences(side, { tokenizer, cache })));
  const first = await sides();
  expect(kept()).toHaveLength(2);
  expect(await sides()).toEqual(first);
  expect(first.map(({ groups }) => groups[0]!.rows).reduce((a, b) => a + b)).toBe(30);
  expect((await load({ cache })).groups[0]!.rows).toBe(30);
});

test("whatever makes other tokens makes another entry", async () => {
  write({ text: "one two three" });
  await load({ cache });
  const changes: (() => Promise<unknown>)[] = [
    () => load({ cache, maxLength: 5 }),
    () => load({ cache, maxLength: 5, overflow: "split" }),
    () => load({ cache, eos: false }),
    () => load({ cache, vocabSize: 300 }),
    () => load({ cache: { ...cache, settings: { template: "plain" } } }),
    () =>
      load({ cache: { ...cache, files: [tokenizer.files, new Map([["chat_template.jinja", new Uint8Array(1)]])] } }),
    () =>
      load({ cache: { ...cache, files: [tokenizer.files, new Map([["chat_template.jinja", new Uint8Array(2)]])] } }),
    () => load({ cache }, file, "text=text"),
    () => load({ cache, tokenizer: { ...tokenizer, eos: 0 } }),
  ];
  for (const [i, change] of changes.entries()) {
    await change();
    expect(kept()).toHaveLength(i + 2);
  }
});

test("a template that writes the day makes an entry a day", async () => {
  write({ text: "one two three" });
  const template = new TextEncoder().encode("{{ strftime_now('%d') }}");
  const dated = { ...cache, files: [new Map([["chat_template.jinja", template]])] };
  try {
    for (const day of ["2030-01-01", "2030-01-01", "2030-01-02"]) {
      setSystemTime(new Date(`${day}T12:00:00Z`));
      await load({ cache: dated });
    }
  } finally {
    setSystemTime();
  }
  expect(kept()).toHaveLength(2);
});

test("changed rows are read again, even with the size and the time of the old ones", async () => {
  write({ text: "one" });
  const { mtime, atime } = fs.statSync(file);
  await load({ cache });
  write({ text: "two" });
  fs.utimesSync(file, atime, mtime);
  expect(tokenizer.decode((await load({ cache })).sequences[0]!.ids, { skipSpecial: true })).toBe("two");
});

test("what is not whole is made again, and what cannot be read leaves nothing", async () => {
  write({ text: "one" }, { text: "two" });
  const wanted = await load();
  await load({ cache });
  for (const name of fs.readdirSync(path.join(folder, "tokens"))) {
    if (name.endsWith(".i32")) fs.truncateSync(path.join(folder, "tokens", name), 8);
  }
  expect(await load({ cache })).toEqual(wanted);
  write({ text: "one" }, { texts: "two" });
  fs.rmSync(folder, { recursive: true });
  expect((await rejection(load({ cache }))).message).toContain("unknown row");
  expect(fs.readdirSync(path.join(folder, "tokens"))).toEqual([]);
});

test("the entries that were used longest ago make room", async () => {
  write({ text: "x".repeat(1000) }); // some 4 kB of tokens
  const small = { ...cache, mostBytes: 10_000 };
  for (const maxLength of [901, 902, 903, 904]) await load({ cache: small, maxLength });
  expect(kept()).toHaveLength(2);
  const total = fs
    .readdirSync(path.join(folder, "tokens"))
    .reduce((sum, name) => sum + fs.statSync(path.join(folder, "tokens", name)).size, 0);
  expect(total).toBeLessThanOrEqual(10_000);
});

test("small files and pipes are not kept", async () => {
  write({ text: "one" });
  await load({ cache: { ...cache, leastBytes: 1000 } });
  expect(fs.existsSync(path.join(folder, "tokens"))).toBe(false);
});

test("places name the file as this run does", async () => {
  write({ text: "one" });
  await load({ cache });
  const other = path.relative(process.cwd(), file);
  const { sequences } = await loadSequences(parseGroups([`a=${other}`]), { tokenizer, cache });
  expect([kept().length, sequences[0]!.place]).toEqual([1, `${other}:1`]);
});
