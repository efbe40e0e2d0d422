/** Prompts from rows: what the template is given, and how it is said what it refuses. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import { loadTemplate } from "../../../src/data/template.ts";
import { readPrompts } from "../../../src/run/generating/prompts.ts";
import { installed, rejection } from "../../data/support.ts";

const jinja = await installed("@huggingface/jinja");

test.skipIf(!jinja)(
  "a row's tools and fields reach the template; what it refuses is said of file and line",
  async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-prompts-"));
    const rows = path.join(folder, "rows.jsonl");
    const messages = [{ role: "user", content: "hi", name: "Ann" }];
    fs.writeFileSync(
      rows,
      `${JSON.stringify({ messages, tools: '[{"name": "f"}]' })}\n${JSON.stringify({ messages })}\n`,
    );
    const tokenizer = byteTokenizer();
    const read = async (source: string) => {
      const template = await loadTemplate(new Map([["chat_template.jinja", new TextEncoder().encode(source)]]), "m/");
      const prompts = await readPrompts(
        { prompts: rows, chat: false },
        { args: [], isStdinFree: false },
        { tokenizer, template },
      );
      return prompts.map(({ ids }) => tokenizer.decode(ids));
    };
    const shows = "{{ messages[0].name }}:{{ tools[0].name if tools else '-' }}{{ '>' if add_generation_prompt }}";
    expect(await read(shows)).toEqual(["Ann:f>", "Ann:->"]);
    const refused = await rejection(read("{{ 'ok' if tools else raise_exception('no tools') }}"));
    expect(refused.message).toBe(`${rows}:2: m/: chat_template.jinja: no tools`);
    fs.rmSync(folder, { recursive: true });
  },
);
