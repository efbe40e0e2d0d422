/** Rows to tokens and labels. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { parseRow } from "../../src/data/parse-row.ts";
import { IGNORED, type Message, type Row } from "../../src/data/rows.ts";
import { type EncodeOptions, encodeRow, type Sequence } from "../../src/data/sequences.ts";

const tokenizer = byteTokenizer();
const encode = (row: unknown, options: EncodeOptions = { tokenizer }) =>
  encodeRow({ row: parseRow(row as never, "r:1") as Row, place: "r:1" }, options);
const one = (row: unknown, options?: EncodeOptions): Sequence => encode(row, options)[0]!;

/** The text of what counts, with "_" for each token that does not. */
const shown = ({ ids, labels }: Sequence) =>
  Array.from(ids, (id, i) => (labels[i] === IGNORED ? "_" : tokenizer.decode([id]))).join("");

test("text counts whole and ends", () => {
  expect(shown(one({ text: "abc" }))).toBe("abc<eos>");
  expect(shown(one({ text: "abc<eos>" }))).toBe("abc<eos>");
  expect(shown(one({ text: "abc" }, { tokenizer, eos: false }))).toBe("abc");
});

test("of prompt and completion the completion counts, with its end", () => {
  expect(shown(one({ prompt: "1+1=", completion: "2" }))).toBe("____2<eos>");
  expect(tokenizer.decode(one({ prompt: "1+1=", completion: "2" }).ids)).toBe("1+1=2<eos>");
});

test("of a conversation what the assistant says counts, with its end", () => {
  const messages = [
    { role: "system", content: "s" },
    { role: "user", content: "q" },
    { role: "assistant", content: "one" },
    { role: "user", content: "r" },
    { role: "assistant", content: "two" },
  ];
  const sequence = one({ messages });
  expect(tokenizer.decode(sequence.ids)).toBe(
    "system: s<eos>user: q<eos>assistant: one<eos>user: r<eos>assistant: two<eos>",
  );
  expect(shown(sequence).replace(/_+/g, "_")).toBe("_one<eos>_two<eos>");
});

test("a token that reaches from the prompt into the completion counts", () => {
  const pairs = {
    ...tokenizer,
    encode: (text: string) => Int32Array.from(text.match(/ab|./gs) ?? [], (t) => (t === "ab" ? 300 : t.charCodeAt(0))),
  };
  const { ids, labels } = one({ prompt: "xa", completion: "bc" }, { tokenizer: pairs, eos: false });
  expect([...ids]).toEqual([120, 300, 99]);
  expect([...labels]).toEqual([IGNORED, 300, 99]);
});

test("a template that leaves out what the assistant says is refused", () => {
  const template = { name: "jinja" as const, render: (messages: readonly Message[]) => `${messages.length}` };
  const messages = [{ role: "assistant", content: "a" }];
  expect(() => one({ messages }, { tokenizer, template })).toThrow("r:1: the chat template does not write message 1");
});

test("tokens pass as they are", () => {
  const { ids, labels } = one({ input_ids: [5, 6, 7], labels: [-100, 6, 9] }, {});
  expect([[...ids], [...labels]]).toEqual([
    [5, 6, 7],
    [IGNORED, 6, 9],
  ]);
  const plain = one({ input_ids: [5, 6] }, {});
  expect(plain.labels).toBe(plain.ids);
});

test("labels are the tokens or -100, and a row's pieces make up the row", () => {
  const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 });
  const row = fc.oneof(
    fc.record({ text }),
    fc.record({ prompt: text, completion: text }),
    fc.record({
      messages: fc.array(fc.record({ role: fc.constantFrom("user", "assistant"), content: text }), {
        minLength: 1,
        maxLength: 5,
      }),
    }),
  );
  fc.assert(
    fc.property(row, fc.integer({ min: 1, max: 40 }), (given, maxLength) => {
      const whole = one(given);
      for (const [i, label] of whole.labels.entries()) if (label !== IGNORED) expect(label).toBe(whole.ids[i]!);
      const pieces = encode(given, { tokenizer, maxLength, overflow: "split" });
      expect(pieces.flatMap(({ ids }) => [...ids])).toEqual([...whole.ids]);
      expect(pieces.flatMap(({ labels }) => [...labels])).toEqual([...whole.labels]);
      const cut = encode(given, { tokenizer, maxLength });
      expect(cut).toHaveLength(1);
      expect(cut[0]!.ids).toEqual(whole.ids.slice(0, maxLength));
      expect(cut[0]!.labels).toEqual(whole.labels.slice(0, maxLength));
    }),
  );
});

test("says what does not fit", () => {
  expect(() => one({ text: "abc" }, {})).toThrow("r:1: the row is text, but there is no tokenizer");
  expect(() => one({ text: "" }, { tokenizer, eos: false })).toThrow("r:1: the row has no tokens");
  expect(() => one({ x: [1], label: 0 })).toThrow("r:1: the row is for a classifier");
  expect(() => one({ text: "abc" }, { tokenizer, maxLength: 3, overflow: "refuse" })).toThrow(
    "r:1: the row has 4 tokens, more than 3",
  );
  expect(() => one({ input_ids: [1, 9] }, { vocabSize: 9 })).toThrow(
    "r:1: token 9 is outside the model's vocabulary of 9",
  );
  expect(() => one({ input_ids: [1], labels: [9] }, { vocabSize: 9 })).toThrow("r:1: token 9 is outside");
});
