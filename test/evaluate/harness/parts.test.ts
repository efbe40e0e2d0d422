import { expect, test } from "bun:test";
import fc from "fast-check";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import { UserError } from "../../../src/errors.ts";
import { contextsOf } from "../../../src/evaluate/harness/contexts.ts";
import { parseList } from "../../../src/evaluate/harness/literal.ts";
import { type MatchOptions, matchesOf } from "../../../src/evaluate/harness/matches.ts";
import { countWords, rollingWindows } from "../../../src/evaluate/harness/rolling.ts";
import { parseTaskFile, READ_KEYS, UNUSED_KEYS } from "../../../src/evaluate/harness/task-file.ts";
import { textsOf } from "../../../src/evaluate/harness/texts.ts";

const jinja = await import("@huggingface/jinja");
const PLAIN: MatchOptions = { ignoreCase: false, ignorePunctuation: false, ignoreNumbers: false, ignored: [] };

test("lists of Python and JSON are read", () => {
  expect(parseList(`['no', "it's", 3, -1.5,]`)).toEqual(["no", "it's", 3, -1.5]);
  expect(parseList(String.raw`['a\'b', "c\nd", '\u00e9\x41']`)).toEqual(["a'b", "c\nd", "éA"]);
  expect(parseList("[]")).toEqual([]);
  for (const text of ["", "[a]", "['a' 'b']", "['a'", "f(['a'])", "['a'] + ['b']"])
    expect(parseList(text)).toBeUndefined();
  fc.assert(
    fc.property(fc.array(fc.string(), { minLength: 1 }), (list) =>
      expect(parseList(JSON.stringify(list))).toEqual(list),
    ),
  );
});

test("fields are columns or templates with Python's defaults for blocks and line ends", () => {
  const fields = { text: "{% if a %}\n{{a}}{% endif %}\n", target: "{{n - 1}}", choices: "list", description: "D " };
  const [found] = textsOf(jinja, fields, [{ a: "A", n: 2, list: ["x", "y"] }]);
  expect(found).toEqual({ text: "\nA\n", targets: [1], isList: false, choices: ["x", "y"], description: "D " });
  const targets = (target: string | number, a: string) =>
    textsOf(jinja, { text: "a", target, description: "" }, [{ a }])[0]!;
  expect(targets("{{a}}", "['x', 'y']").targets).toEqual(["x", "y"]);
  expect(targets("a", "['x', 'y']").targets).toEqual(["['x', 'y']"]);
  expect(targets("{{a}}", "7").targets).toEqual(["7"]);
  expect(() => textsOf(jinja, { ...fields, text: "{{b|upper}}" }, [{ a: "" }])).toThrow("doc_to_text names b");
});

test("examples stand between the description and the row, which is no example of itself", async () => {
  const task = await parseTaskFile(
    `test_split: t\nfewshot_split: t\nnum_fewshot: 1\nfewshot_config: {sampler: first_n}\noutput_type: multiple_choice
doc_to_text: q\ndoc_to_target: l\ndoc_to_choice: [no, yes]\ndescription: "Say."\n`,
    "t.yml",
  );
  const documents = [0, 1, 2].map((i) => ({ q: `q${i}`, l: i % 2 }));
  const texts = textsOf(jinja, task.fields, documents);
  const asked = texts.map((text, i) => ({ text, document: documents[i]! }));
  expect(contextsOf(task, asked, { texts, documents })).toEqual([
    "Say.q1 yes\n\nq0",
    "Say.q0 no\n\nq1",
    "Say.q0 no\n\nq2",
  ]);
});

test("examples of several inputs show the right one and what follows it", async () => {
  const task = await parseTaskFile(
    `test_split: t\nfewshot_split: t\nnum_fewshot: 1\nfewshot_config: {sampler: first_n}\noutput_type: multiple_choice
doc_to_text: "{{l}}"\ndoc_to_target: end\ndoc_to_choice: inputs\ndescription: "Say."\n`,
    "t.yml",
  );
  const documents = [0, 1].map((l) => ({ l, inputs: [`x${l}`, `y${l}`], end: `e${l}` }));
  const texts = textsOf(jinja, task.fields, documents);
  expect(texts[1]).toEqual({
    text: "y1",
    place: 1,
    targets: ["e1"],
    isList: false,
    choices: ["x1", "y1"],
    description: "Say.",
  });
  const asked = texts.map((text, i) => ({ text, document: documents[i]! }));
  expect(contextsOf(task, asked, { texts, documents })).toEqual(["Say.y1 e1\n\n", "Say.x0 e0\n\n"]);
});

test("windows predict every token once, behind as much as the model reads", () => {
  const tokenizer = byteTokenizer();
  const first = tokenizer.bos ?? tokenizer.eos!;
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.integer({ min: 2, max: 12 }), (text, maxLength) => {
      const ids = [...tokenizer.encode(text)];
      const windows = rollingWindows(text, { tokenizer, maxLength, place: "x" });
      expect(windows.flatMap(({ labels }) => [...labels].filter((label) => label >= 0))).toEqual(ids);
      let done = 0;
      for (const { ids: own, labels } of windows) {
        const counted = labels.filter((label) => label >= 0).length;
        done += counted;
        expect([first, ...ids].slice(done + 1 - own.length, done + 1)).toEqual([...own]);
        expect(own.length).toBe(Math.min(maxLength, ids.length + 1));
      }
    }),
  );
  expect(() => rollingWindows("", { tokenizer, maxLength: 9, place: "x:1" })).toThrow("x:1: the target is empty");
});

test("words are what Python's split by white space gives", () => {
  expect(["", "a", "a b", " a  b\n", "a\u00a0b\u2003c", "a\x1cb\x85c", "a\ufeffb"].map(countWords)).toEqual([
    1, 1, 2, 4, 3, 3, 1,
  ]);
});

test("patterns find as findall does, and what is ignored is ignored on both sides", () => {
  const regex = (pattern: string, group = 0) => [{ kind: "regex" as const, pattern, group, fallback: "[invalid]" }];
  const value = (steps: ReturnType<typeof regex>, found: string, expected: string, match = PLAIN) =>
    matchesOf([{ steps, match }], [{ found, expected: [expected] }])[0]![0];
  expect(value(regex("#### (\\-?[0-9\\.\\,]+)"), "so #### 1,000 and #### 7", "1,000")).toBe(1);
  expect(value(regex("#### ([0-9]+)", -1), "so #### 1 and #### 7", "7")).toBe(1);
  expect(value(regex("(\\$[0-9]+)|([0-9]+)"), "is 12", "12")).toBe(1);
  expect(value(regex("(?i)(?P<x>YES)\\Z"), "no yes", "yes")).toBe(1);
  expect(value(regex("z"), "a", "[invalid]")).toBe(1);
  const loose = { ignoreCase: true, ignorePunctuation: true, ignoreNumbers: true, ignored: ["\\s+"] };
  expect(value([], "The, Answer 1!", "theanswer", loose)).toBe(1);
  expect(value([], "The", "the")).toBe(0);
});

test("task files are read or refused, whatever is in them", async () => {
  const scalar = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.constantFrom(null, true, "!function x", "{{", "first_n", "regex"),
  );
  const value = fc.letrec<{ any: unknown }>((tie) => ({
    any: fc.oneof({ maxDepth: 3 }, scalar, fc.array(tie("any")), fc.dictionary(fc.string(), tie("any"))),
  })).any;
  const keys = fc.constantFrom(...READ_KEYS, ...UNUSED_KEYS, "process_docs", "__proto__", "toString");
  const text = fc.oneof(
    fc.dictionary(keys, value).map((map) => JSON.stringify(map)),
    fc.array(fc.tuple(keys, fc.string())).map((list) => list.map(([key, rest]) => `${key}: ${rest}`).join("\n")),
    fc.string(),
  );
  let [read, refused] = [0, 0];
  await fc.assert(
    fc.asyncProperty(text, async (yaml) => {
      try {
        await parseTaskFile(yaml, "fuzz.yml");
        read++;
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        refused++;
      }
    }),
    { numRuns: 400, seed: 11 },
  );
  expect(read + refused).toBeGreaterThanOrEqual(400);
});
