/**
 * Formats of rows as people write them: each gives the tokens and labels of the same row written by hand, with and
 * without a chat template.
 */
import { describe, expect, test } from "bun:test";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { parseColumns, Renaming } from "../../src/data/columns.ts";
import { parseRow } from "../../src/data/parse-row.ts";
import { ROW_FORMATS } from "../../src/data/row-formats.ts";
import { IGNORED, type Row } from "../../src/data/rows.ts";
import { encodeRow } from "../../src/data/sequences.ts";
import type { ChatTemplate } from "../../src/data/template.ts";
import type { Json, JsonObject } from "../../src/json.ts";

const tokenizer = byteTokenizer();
const bracketed: ChatTemplate = {
  name: "jinja",
  render: (messages, options) =>
    messages.map(({ role, content }) => `<${role}>${content}</>`).join("") +
    (options?.generationPrompt ? "<assistant>" : ""),
};

function tokensOf(value: Json, template?: ChatTemplate, columns?: string): [number[], number[]][] {
  const named = columns === undefined ? undefined : parseColumns(columns);
  const row = parseRow(named ? new Renaming(named).row(value as JsonObject) : value, "r:1", named);
  const how = { tokenizer, ...(template ? { template } : {}) };
  return encodeRow({ row, place: "r:1" }, how).map(({ ids, labels }) => [[...ids], [...labels]]);
}

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const system = (content: string) => ({ role: "system", content });
const human = (value: string) => ({ from: "human", value });
const gpt = (value: string) => ({ from: "gpt", value });

/** A row, the same by hand, and --columns of the first. */
const PAIRS: [name: string, row: JsonObject, byHand: JsonObject, columns?: string][] = [
  [
    "sharegpt",
    { conversations: [human("2+2?"), gpt("4"), human("and 3+3?"), gpt("6")], id: "x" },
    { messages: [user("2+2?"), assistant("4"), user("and 3+3?"), assistant("6")] },
  ],
  [
    "sharegpt with a system text",
    { system: "Be brief.", conversations: [human("2+2?"), gpt("4")] },
    { messages: [system("Be brief."), user("2+2?"), assistant("4")] },
  ],
  [
    "conversations of role and content",
    { conversations: [user("2+2?"), assistant("4")] },
    { messages: [user("2+2?"), assistant("4")] },
  ],
  ["alpaca", { instruction: "add", input: "2+2", output: "4" }, { messages: [user("add\n\n2+2"), assistant("4")] }],
  ["alpaca without input", { instruction: "hi", input: "", output: "ho" }, { messages: [user("hi"), assistant("ho")] }],
  [
    "alpaca with system and history",
    { system: "s", history: [["a", "b"]], instruction: "c", input: null, output: "d" },
    { messages: [system("s"), user("a"), assistant("b"), user("c"), assistant("d")] },
  ],
  [
    "question and answer",
    { question: "Who is Ada?", answer: "A poet.", perturbed_answer: ["A cook."] },
    { messages: [user("Who is Ada?"), assistant("A poet.")] },
  ],
  [
    "prompt and completion as messages",
    { prompt: [user("2+2?")], completion: [assistant("4")] },
    { messages: [user("2+2?"), assistant("4")] },
  ],
  ["nulls", { text: "a cat", prompt: null, completion: null, messages: null }, { text: "a cat" }],
  ["nulls beside a pair", { prompt: "a", completion: "b", text: null }, { prompt: "a", completion: "b" }],
  ["columns of a pair", { ask: "a", reply: "b" }, { prompt: "a", completion: "b" }, "prompt=ask,completion=reply"],
  [
    "columns of alpaca",
    { instruction: "a", context: "b", response: "c" },
    { instruction: "a", input: "b", output: "c" },
    "input=context,output=response",
  ],
  [
    "a column of two formats",
    { text: "all", instruction: "a", output: "c" },
    { messages: [user("a"), assistant("c")] },
    "instruction=instruction",
  ],
  [
    "columns that change places",
    { prompt: "a", completion: "b" },
    { prompt: "b", completion: "a" },
    "prompt=completion,completion=prompt",
  ],
  [
    "the chosen text",
    { prompt: "2+2=", chosen: "4", rejected: "5" },
    { prompt: "2+2=", completion: "4" },
    "completion=chosen",
  ],
  [
    "the chosen conversation",
    { chosen: [user("2+2?"), assistant("4")], rejected: [user("2+2?"), assistant("5")] },
    { messages: [user("2+2?"), assistant("4")] },
    "messages=chosen",
  ],
  [
    "padding on the left",
    { input_ids: [0, 0, 5, 6], attention_mask: [0, 0, 1, 1], labels: [-100, -100, -100, 6] },
    { input_ids: [5, 6], labels: [-100, 6] },
  ],
  ["padding on the right", { input_ids: [5, 6, 0], attention_mask: [1, 1, 0] }, { input_ids: [5, 6] }],
  ["a mask of ones", { input_ids: [5, 6], attention_mask: [1, 1] }, { input_ids: [5, 6] }],
];

describe("gives the tokens of the row written by hand:", () => {
  for (const [name, row, byHand, columns] of PAIRS) {
    test(name, () => {
      for (const template of [undefined, bracketed]) {
        expect(tokensOf(row, template, columns)).toEqual(tokensOf(byHand, template));
      }
    });
  }
});

test("what the assistant says in a prompt of messages does not count", () => {
  const row = { prompt: [user("a"), assistant("b"), user("c")], completion: [assistant("d")] };
  const [[ids, labels]] = tokensOf(row, bracketed) as [[number[], number[]]];
  const text = "<user>a</><assistant>b</><user>c</><assistant>d</>";
  expect(tokenizer.decode(ids)).toBe(text);
  expect(labels.map((label, i) => (label === IGNORED ? "" : tokenizer.decode([ids[i]!]))).join("")).toBe("d</>");
});

test("who speaks is known by the names of other collections", () => {
  const spoken = (user: string, assistant: string) =>
    parseRow(
      {
        messages: [
          { role: user, content: "Hi" },
          { role: assistant, content: "Ho" },
        ],
      },
      "x:1",
    );
  const plain = spoken("user", "assistant");
  for (const [user, assistant] of [
    ["human", "bot"],
    ["User", "model"],
    ["prompter", "gpt"],
  ] as const)
    expect(spoken(user, assistant)).toEqual(plain);
  expect(spoken("judge", "observation")).toMatchObject({ messages: [{ role: "judge" }, { role: "observation" }] });
});

test("rows of choices are asked by their column", () => {
  const columns = parseColumns("prompt=question");
  const row = new Renaming(columns).row({ question: "Who?", choices: ["a", "b"], answer: 1 });
  expect(parseRow(row, "r:1", columns)).toEqual({
    form: "prompt",
    prompt: "Who?",
    extra: { choices: ["a", "b"], answer: 1 },
  });
});

test("every format of the table is read, and none of its keys is left over", () => {
  for (const format of ROW_FORMATS.flat()) {
    const [first] = PAIRS.filter(([, row]) => format.needs.every((key) => row[key] !== undefined && row[key] !== null));
    const isSeen =
      first !== undefined ||
      format.needs.some((key) => ["x", "image", "rejected", "prompt", "positive", "sentence1"].includes(key)) ||
      PAIRS.some(([, , byHand]) => format.needs.every((key) => key in byHand));
    expect(isSeen).toBe(true);
  }
  expect(parseRow({ question: "a", answer: "b", subject: "c", gone: null }, "r:1").extra).toEqual({ subject: "c" });
});

describe("preference rows", () => {
  const given = { form: "preference", extra: {} };
  const [asked, yes, no] = [[user("2+2?")], [assistant("4")], [assistant("5")]];
  const cases: [string, JsonObject, Partial<Extract<Row, { form: "preference" }>>][] = [
    ["of texts", { prompt: "a", chosen: "b", rejected: "c" }, { prompt: "a", chosen: "b", rejected: "c" }],
    ["of messages", { prompt: asked, chosen: yes, rejected: no }, { prompt: asked, chosen: yes, rejected: no }],
    [
      "whose prompt both lists begin with",
      { chosen: [...asked, ...yes], rejected: [...asked, ...no] },
      { prompt: asked, chosen: yes, rejected: no },
    ],
    [
      "whose prompt both texts begin with: the space belongs to the answers",
      { chosen: "Q: 2+2? A: 4", rejected: "Q: 2+2? A: 5" },
      { prompt: "Q: 2+2? A:", chosen: " 4", rejected: " 5" },
    ],
    [
      "of a text and whole conversations",
      { prompt: "2+2?", chosen: [...asked, ...yes], rejected: [...asked, ...no] },
      { prompt: asked, chosen: yes, rejected: no },
    ],
    [
      "of a text and answers as messages",
      { prompt: "2+2?", chosen: yes, rejected: no },
      { prompt: asked, chosen: yes, rejected: no },
    ],
    [
      "whose texts part within a character",
      { chosen: "a\u{1f600}", rejected: "a\u{1f601}" },
      { prompt: "a", chosen: "\u{1f600}", rejected: "\u{1f601}" },
    ],
  ];
  for (const [name, row, wanted] of cases) {
    test(name, () => expect(parseRow(row, "r:1")).toEqual({ ...given, ...wanted } as Row));
  }

  test("are not learned, and the hint says how to take the chosen answer", () => {
    const error = refusal(() => tokensOf({ prompt: "a", chosen: "b", rejected: "c" }));
    expect(error.message).toBe(
      "r:1: the row has a chosen and a rejected answer; what is learned or scored here is one answer",
    );
    expect(error.hint).toStartWith("--columns completion=chosen takes the chosen one");
  });
});

function refusal(run: () => unknown): Error & { hint?: string } {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected an error");
}

const REFUSED: [row: Json, message: string, hint: string][] = [
  [{ prompt: "a", completion: [assistant("b")] }, "prompt is the string", "write both as texts, or both as lists"],
  [{ prompt: { a: 1 }, completion: "b" }, "prompt should be a string, found an object", "write its text alone"],
  [{ text: ["a", "b"] }, "text should be a string, found an array", "join the texts to one"],
  [{ text: 5 }, "text should be a string, found the number 5", "write it in quotes"],
  [{ conversations: [{ from: "judge", value: "a" }] }, "turn 1 is from judge", "known are human, user, prompter, gpt"],
  [{ conversations: [{ from: "human" }] }, "value of turn 1 should be a string, found nothing", "turns are written"],
  [{ conversations: [human("a"), 3] }, "turn 2 should be an object, found the number 3", "turns are written"],
  [{ messages: [human("a")] }, "role of message 1 should be a string", "--columns conversations=NAME"],
  [
    { question: "a", choices: ["b"], answer: 0 },
    "answer is the number 0, which is no text",
    "--columns prompt=question",
  ],
  [{ chosen: "a", rejected: "ab" }, "chosen and rejected differ in length alone", "add a prompt"],
  [{ chosen: "a", rejected: "b" }, "chosen and rejected have no beginning in common", "add a prompt"],
  [{ chosen: "a", rejected: [user("b")] }, "chosen is the string", "write both as texts"],
  [{ instruction: "a", output: "b", history: [["a"]] }, "entry 1 of history is not a pair", "history is written"],
  [
    { conversations: [human("a")], question: "a", answer: "b" },
    "conversations as well as question and answer",
    "--columns conversations=conversations",
  ],
  [{ query: "a", reply: "b" }, "unknown row with the keys query, reply", "--columns prompt=query,completion=reply"],
  [{ turns: [{ a: 1 }], id: 7 }, "unknown row with the keys turns, id", "--columns messages=turns"],
  [{ input_ids: [1, 2], attention_mask: [1] }, "attention_mask has 1 values for 2 input_ids", ""],
  [{ input_ids: [1, 2, 3], attention_mask: [1, 0, 1] }, "attention_mask is 0 at position 1, between", "set its label"],
  [{ input_ids: [1, 2], attention_mask: [1, 2] }, "attention_mask is 2 at position 1", "give each its own row"],
  [{ input_ids: [1], attention_mask: [0] }, "attention_mask is 0 everywhere", "leave the row out"],
];
describe("refuses, with advice that fits:", () => {
  for (const [row, message, hint] of REFUSED) {
    test(JSON.stringify(row), () => {
      const error = refusal(() => parseRow(row, "r:1"));
      expect(error.message).toStartWith("r:1: ");
      expect(error.message).toContain(message);
      expect(error.hint ?? "").toContain(hint);
    });
  }
});

test("--columns is refused where it is not understood", () => {
  expect(() => parseColumns("prompt")).toThrow("--columns: prompt is not name=column");
  expect(() => parseColumns("a=b,a=c")).toThrow("--columns names a twice");
  const renaming = new Renaming(parseColumns("prompt=q,completion=r"));
  renaming.row({ q: 1 });
  expect(() => renaming.check("x.jsonl")).toThrow("no row of x.jsonl has the column r, which --columns names");
});

describe("pairs of texts", () => {
  const content = (row: JsonObject) => {
    const { extra, ...rest } = parseRow(row, "r:1");
    return [rest, extra];
  };

  test("query or anchor, positive and any number of negatives", () => {
    const pair = { form: "pair", first: "a", second: "b", negatives: [] } as const;
    expect(content({ query: "a", positive: "b", id: 3 })).toEqual([pair, { id: 3 }]);
    expect(content({ anchor: "a", positive: "b", negative: "c" })).toEqual([{ ...pair, negatives: ["c"] }, {}]);
    expect(content({ anchor: "a", positive: "b", negative_10: "d", negative_2: "c" })).toEqual([
      { ...pair, negatives: ["c", "d"] },
      {},
    ]);
  });

  test("two sentences and how alike they are", () => {
    expect(content({ sentence1: "a", sentence2: "b", score: 0.5 })).toEqual([
      { form: "pair", first: "a", second: "b", negatives: [], score: 0.5 },
      {},
    ]);
    expect(() => content({ sentence1: "a", sentence2: "b", score: "much" })).toThrow("score should be a number");
  });

  test("a language model refuses them by name", () => {
    expect(() => tokensOf({ query: "a", positive: "b" })).toThrow("a pair of texts is for a model that makes vectors");
  });
});
