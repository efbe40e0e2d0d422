/** Tokenizers and templates for a model: those of another folder, and what ends an answer. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { textTools } from "../../src/run/text-tools.ts";

const SIZES = { outputs: 300, maxPositions: 64 } as Parameters<typeof textTools>[2];
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

test("--tokenizer takes a folder without weights, with its template and its end tokens", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-tokenizer-"));
  for (const [name, bytes] of byteTokenizer().files) fs.writeFileSync(path.join(folder, name), bytes);
  const model = new Map([
    ["config.json", json({ eos_token_id: 2 })],
    ["generation_config.json", json({ eos_token_id: [2, 7] })],
    ["chat_template.jinja", new TextEncoder().encode("{{ 'of the model' }}")],
  ]);
  const tools = await textTools(model, "m/", SIZES, { tokenizer: folder });
  expect(tools.tokenizer?.ends).toEqual([258]);
  expect(tools.encode.template?.name).toBe("plain");
  expect([...tools.files.keys()].sort()).toEqual(["config.json", ...byteTokenizer().files.keys()].sort());
  fs.rmSync(folder, { recursive: true });
});

test("answers end where the chat template ends them, too", async () => {
  const ends = async (template: string) => {
    const files = new Map([...byteTokenizer().files, ["chat_template.jinja", new TextEncoder().encode(template)]]);
    return (await textTools(files, "m/", SIZES, {})).tokenizer?.ends;
  };
  const turns = "{% for m in messages %}{{ m.content + '\n<pad>\n' }}{% endfor %}";
  expect(await ends(turns)).toEqual([258, 256]);
  expect(await ends("{% for m in messages %}{{ m.content + '<eos>' }}{% endfor %}")).toEqual([258]);
  expect(await ends("{{ messages[0].content }}")).toEqual([258]);
  expect(await ends("{{ raise_exception('no') }}")).toEqual([258]);
});
