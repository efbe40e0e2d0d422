/**
 * Conversations as text: the plain format, where a model's template is looked for, and the library when it is there.
 */
import { expect, test } from "bun:test";
import { byteTokenizer, PLAIN_TEMPLATE } from "../../src/data/byte-tokenizer.ts";
import { parseRow } from "../../src/data/parse-row.ts";
import { IGNORED } from "../../src/data/rows.ts";
import { encodeRow } from "../../src/data/sequences.ts";
import { loadTemplate, plainTemplate } from "../../src/data/template.ts";
import { installed, rejection } from "./support.ts";

const messages = [
  { role: "user", content: "hi" },
  { role: "assistant", content: "yes" },
];
const file = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

test("the plain format names who speaks and ends every turn", () => {
  const template = plainTemplate("<eos>");
  expect(template.render(messages)).toBe("user: hi<eos>assistant: yes<eos>");
  expect(template.render(messages.slice(0, 1), { generationPrompt: true })).toBe("user: hi<eos>assistant: ");
});

test("the embedded tokenizer's own template is the plain format, without a library", async () => {
  const template = await loadTemplate(byteTokenizer().files, "m/");
  expect(template?.name).toBe("plain");
  expect(template?.render(messages)).toBe("user: hi<eos>assistant: yes<eos>");
});

test("a model without a template has none", async () => {
  expect(await loadTemplate(new Map(), "m/")).toBeUndefined();
  expect(await loadTemplate(new Map([["tokenizer_config.json", file({ eos_token: "</s>" })]]), "m/")).toBeUndefined();
});

const jinja = await installed("@huggingface/jinja");

test.skipIf(!jinja)("Jinja renders the plain template as the built-in code does", async () => {
  // A comment makes it another text, so that the library is used.
  const files = new Map([
    ["tokenizer_config.json", file({ eos_token: { content: "</s>" } })],
    ["chat_template.jinja", file(`{# same #}${PLAIN_TEMPLATE}`)],
  ]);
  const template = await loadTemplate(files, "m/");
  expect(template?.name).toBe("jinja");
  for (const generationPrompt of [false, true]) {
    const plain = plainTemplate("</s>").render(messages, { generationPrompt });
    expect(template?.render(messages, { generationPrompt })).toBe(plain);
  }
});

test.skipIf(!jinja)("the template named default is used, and what it refuses is said", async () => {
  const chat_template = [
    { name: "tool_use", template: "tools" },
    { name: "default", template: "{{ raise_exception('roles must alternate') }}" },
  ];
  const template = await loadTemplate(new Map([["tokenizer_config.json", file({ chat_template })]]), "m/");
  expect(() => template?.render(messages)).toThrow("m/: tokenizer_config.json: chat_template: roles must alternate");
  const broken = loadTemplate(new Map([["chat_template.jinja", file("{% if %}")]]), "m/");
  expect((await rejection(broken)).message).toStartWith("m/: chat_template.jinja: ");
});

test.skipIf(!jinja)(
  "through a model's template, what the assistant says counts, up to the end of its turn",
  async () => {
    const chatml =
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
    const template = await loadTemplate(new Map([["tokenizer_config.json", file({ chat_template: chatml })]]), "m/");
    const tokenizer = byteTokenizer();
    const row = parseRow({ messages: [...messages, ...messages] }, "r:1");
    const [sequence] = encodeRow({ row, place: "r:1" }, { tokenizer, template: template! });
    const counts = Array.from(sequence!.labels, (label) => (label === IGNORED ? "_" : tokenizer.decode([label]))).join(
      "",
    );
    expect(counts.replace(/_+/g, "_")).toBe("_yes<|im_end|>\n_yes<|im_end|>\n");
  },
);
