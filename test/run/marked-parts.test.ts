import { expect, test } from "bun:test";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { IGNORED } from "../../src/data/rows.ts";
import { bracketed, coloured, partsOf } from "../../src/run/marked-parts.ts";

const tokenizer = byteTokenizer();
const ids = tokenizer.encode("<bos>é\u001b[2Jx");
const labels = ids.map((id, i) => (i === 2 || i > 6 ? id : IGNORED));

test("neighbours that count alike are one part; a split character stands with its last token", () => {
  expect(partsOf({ ids, labels }, tokenizer)).toEqual([
    { counts: false, ids: [257, 0xc3], text: "<bos>" },
    { counts: true, ids: [0xa9], text: "é" },
    { counts: false, ids: [0x1b, 0x5b, 0x32, 0x4a], text: "\u001b[2J" },
    { counts: true, ids: [0x78], text: "x" },
  ]);
  expect(partsOf({ ids: ids.slice(0, 3), labels: ids.slice(0, 3) }, undefined)).toEqual([
    { counts: false, ids: [257], text: "257" },
    { counts: true, ids: [0xc3, 0xa9], text: "195 169" },
  ]);
});

test("marks are colours or brackets, and nothing of the text steers a terminal", () => {
  const parts = partsOf({ ids, labels }, tokenizer);
  expect(parts.map(bracketed).join("")).toBe("<bos>⟦é⟧\\u001b[2J⟦x⟧");
  expect(parts.map(coloured).join("")).toBe("<bos>\u001b[1;32mé\u001b[0m\\u001b[2J\u001b[1;32mx\u001b[0m");
});
