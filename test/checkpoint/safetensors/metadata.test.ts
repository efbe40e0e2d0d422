import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import type { LineageEntry } from "../../../src/checkpoint/checkpoint.ts";
import {
  appendLineage,
  encodeLineage,
  lineageTime,
  parseLineage,
  runId,
} from "../../../src/checkpoint/lineage/lineage.ts";
import { encodeMetadata, filesOfMetadata } from "../../../src/checkpoint/safetensors/metadata.ts";
import { refusal } from "../sample.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("the model's files", () => {
  test("come back word for word: text, a byte order mark, long text, bytes that are no text", () => {
    const files = new Map([
      ["config.json", bytes('{"a": "ü\\u0000\n"}\r\n')],
      ["tokenizer.json", bytes(`\ufeff${"ab".repeat(2 ** 20)}`)],
      ["chat_template.jinja", bytes("\ufeff{{ x }}")],
      ["tokenizer.model", Uint8Array.from({ length: 256 }, (_, i) => i)],
    ]);
    const metadata = encodeMetadata(files, []);
    expect([...metadata.keys()]).toEqual([
      "format",
      "config.json",
      "tokenizer.json+gzip",
      "chat_template.jinja",
      "tokenizer.model+gzip",
    ]);
    expect(metadata.get("format")).toBe("pt");
    expect(new Map([...filesOfMetadata(metadata, "x")].sort())).toEqual(new Map([...files].sort()));
  });

  test("are zipped without a time or the name of a system", () => {
    const zipped = encodeMetadata(new Map([["tokenizer.model", Uint8Array.of(255)]]), []).get("tokenizer.model+gzip")!;
    expect([...Buffer.from(zipped, "base64").subarray(0, 10)].slice(4)).toEqual([0, 0, 0, 0, expect.any(Number), 255]);
  });

  test("are only those of a model: other names are no files", () => {
    const metadata = new Map([
      ["../x", "a"],
      ["/etc/passwd+gzip", "a"],
      ["config.jsonx", "a"],
      ["constructor", "a"],
    ]);
    expect(filesOfMetadata(metadata, "x").size).toBe(0);
  });

  const bomb = gzipSync(new Uint8Array(257 * 2 ** 20)).toString("base64");
  test.each([
    ["a bomb", { "tokenizer.json+gzip": bomb }, "x: tokenizer.json+gzip makes the model's files larger than 256 MiB"],
    ["no base64", { "tokenizer.json+gzip": "a!" }, "x: tokenizer.json+gzip is not base64"],
    ["no gzip", { "tokenizer.json+gzip": "AAAA" }, "x: tokenizer.json+gzip is not gzip"],
    ["an empty text", { "tokenizer.json+gzip": "" }, "x: tokenizer.json+gzip is not gzip"],
    ["both", { "vocab.json": "", "vocab.json+gzip": "" }, "x: metadata has both vocab.json and vocab.json+gzip"],
  ])("%s is refused", async (_, metadata, message) => {
    const error = await refusal(() => filesOfMetadata(new Map(Object.entries(metadata)), "x"));
    expect(error.message).toBe(message);
  });

  test("two halves of a bomb are one", async () => {
    const half = gzipSync(new Uint8Array(140 * 2 ** 20)).toString("base64");
    const metadata = new Map([
      ["tokenizer.json+gzip", half],
      ["vocab.json+gzip", half],
    ]);
    expect((await refusal(() => filesOfMetadata(metadata, "x"))).message).toContain("larger than 256 MiB");
  });
});

const step = (run: string, more: Partial<LineageEntry> = {}): LineageEntry => ({
  script: "merge",
  version: "1.0.0",
  options: { t: 0.5, list: [1, { a: null }] },
  seed: 0,
  inputs: [
    { ref: "a", role: "base", bytes: 10, header_sha256: "00" },
    { ref: "hf:org/b", revision: "main" },
  ],
  run,
  time: "",
  ...more,
});

describe("lineage", () => {
  test("comes back as it was, with and without method and time", () => {
    const entries = [step("a"), step("b", { method: "ties", time: "2026-01-01T00:00:00.000Z" })];
    expect(parseLineage(encodeLineage(entries), "x")).toEqual(entries);
    expect(encodeLineage(entries.slice(0, 1))).not.toContain("time");
    expect(parseLineage(undefined, "x")).toEqual([]);
  });

  test("drops keys of later versions", () => {
    const [entry] = parseLineage(JSON.stringify([{ ...step("a"), later: 1 }]), "x");
    expect(entry).toEqual(step("a"));
  });

  const broken = (change: object) => JSON.stringify([step("a"), { ...step("b"), ...change }]);
  test.each([
    ["[", "x: ingot.lineage is not JSON: Unexpected EOF"],
    ["{}", "x: ingot.lineage is not a list"],
    ["[1]", "x: ingot.lineage: entry 1 is not an object"],
    [broken({ script: 1 }), "x: ingot.lineage: entry 2 has a script that is not a string"],
    [broken({ script: undefined }), "x: ingot.lineage: entry 2 has no script"],
    [broken({ options: [] }), "x: ingot.lineage: entry 2 has no options"],
    [broken({ seed: "0" }), "x: ingot.lineage: entry 2 has no seed"],
    [broken({ inputs: {} }), "x: ingot.lineage: entry 2 has no inputs"],
    [broken({ inputs: [{}] }), "x: ingot.lineage: entry 2: input 1 has no ref"],
    [
      broken({ inputs: [{ ref: "a", bytes: "1" }] }),
      "x: ingot.lineage: entry 2: input 1 has a bytes that is not a number",
    ],
    [broken({ time: 1 }), "x: ingot.lineage: entry 2 has a time that is not a string"],
    [
      JSON.stringify([step("a")]).replace('"seed":0', '"seed":1e400'),
      "x: ingot.lineage: entry 1 has a seed that is not finite",
    ],
    ['[{"a":1,"a":2}]', "x: ingot.lineage has the key a twice"],
    ["[".repeat(100), "x: ingot.lineage is nested deeper than 64 levels"],
    [`[${"1,".repeat(10_000)}1]`, "x: ingot.lineage has more than 10000 entries"],
    [" ".repeat(9 * 2 ** 20), "x: ingot.lineage is longer than 8388608 characters"],
  ])("a damaged one is refused (%#)", async (text, message) => {
    expect((await refusal(() => parseLineage(text, "x"))).message).toStartWith(message);
  });

  const untold = (message: string) => {
    throw new Error(message);
  };

  test.each(["\0", "\u001b[2J", "\u007f", "\u009b", "\b"])(
    "a control character is neither read nor written (%#)",
    async (bad) => {
      const places = [{ script: bad }, { options: { recipe: `a${bad}` } }, { options: { [bad]: 1 } }, { run: bad }];
      for (const more of [...places, { options: { set: ["x", [bad]] } }, { inputs: [{ ref: bad }] }, { time: bad }]) {
        const entry = step("a", more as Partial<LineageEntry>);
        const read = await refusal(() => parseLineage(encodeLineage([entry]), "x"));
        expect(read.message).toStartWith("x: ingot.lineage: entry 1 has a control character in ");
        expect(read.message).not.toContain(bad);
        const written = await refusal(() => appendLineage([], entry, untold));
        expect(written.message).toContain(" has a control character, which the lineage of the result cannot hold");
      }
      const lines = step("a", { options: { recipe: "a:\r\n\t- b\n" } });
      expect(parseLineage(encodeLineage(appendLineage([], lines, untold)), "x")).toEqual([lines]);
    },
  );

  test("a history that is too long for a file loses its oldest steps, and says so", () => {
    const said: string[] = [];
    const many = Array.from({ length: 10_003 }, (_, i) => step(`r${i}`));
    const short = appendLineage([many], step("last"), (text) => said.push(text));
    expect([short.length, short[0]!.run, short.at(-1)!.run]).toEqual([10_000, "r4", "last"]);
    const large = Array.from({ length: 9 }, (_, i) => step(`r${i}`, { options: { recipe: "x".repeat(2 ** 20) } }));
    const kept = appendLineage([large], step("last"), (text) => said.push(text));
    expect([kept.length, kept[0]!.run]).toEqual([8, "r2"]);
    expect(said.map((text) => text.split(": ").at(-1))).toEqual([
      "the oldest 4 are left out",
      "the oldest 2 are left out",
    ]);
    for (const found of [short, kept]) expect(parseLineage(encodeLineage(found), "x")).toEqual(found);
    // To the character.
    const room = 8 * 2 ** 20 - encodeLineage([step("a", { options: { recipe: "" } })]).length;
    const full = (n: number) => step("a", { options: { recipe: "x".repeat(n) } });
    expect(parseLineage(encodeLineage(appendLineage([[step("b")]], full(room), () => {})), "x")).toHaveLength(1);
    expect(() => appendLineage([], full(room + 1), untold)).toThrow("the recipe and the options have over 8388608");
  });

  test("of several inputs is theirs in order, each run once, then the step", () => {
    const [a, b, c, d] = [step("a"), step("b"), step("c"), step("d")];
    expect(
      appendLineage(
        [
          [a, b],
          [a, c],
        ],
        d,
        untold,
      ).map(({ run }) => run),
    ).toEqual(["a", "b", "c", "d"]);
    expect(appendLineage([[a, d]], d, untold).map(({ run }) => run)).toEqual(["a", "d"]);
    expect(appendLineage([], d, untold)).toEqual([d]);
  });

  test("a run's id depends on what decides the result, inputs included, and not on the order of options", () => {
    const base = step("");
    const id = runId(base);
    expect(id).toMatch(/^[0-9a-f]{12}$/);
    expect(runId({ ...base, inputs: base.inputs.map((input) => ({ ...input, ref: "b/" })) })).not.toBe(id);
    expect(runId({ ...base, options: { list: [1, { a: null }], t: 0.5 } })).toBe(id);
    expect(runId({ ...base, seed: 1 })).not.toBe(id);
    expect(runId({ ...base, options: { ...base.options, t: 0.6 } })).not.toBe(id);
    expect(runId({ ...base, inputs: [{ ref: "a", role: "base", header_sha256: "01" }] })).not.toBe(id);
  });

  test("the time is only what SOURCE_DATE_EPOCH says", async () => {
    expect(lineageTime({})).toBe("");
    expect(lineageTime({ SOURCE_DATE_EPOCH: "1700000000" })).toBe("2023-11-14T22:13:20.000Z");
    const error = await refusal(() => lineageTime({ SOURCE_DATE_EPOCH: "yesterday" }));
    expect(error.message).toBe("SOURCE_DATE_EPOCH is yesterday; expected seconds since 1970");
  });
});
