/**
 * Which tokens of a conversation count, for the styles of known models. Every text is given by hand in parts, those
 * that the assistant writes in brackets ["..."]; the parts together are what @huggingface/jinja renders, and their
 * tokens, one part at a time, are the ids and the mask.
 */
import { expect, test } from "bun:test";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import type { Turns } from "../../../src/data/chat/conversation.ts";
import { loadTokenizer } from "../../../src/data/load-tokenizer.ts";
import { parseRow } from "../../../src/data/parse-row.ts";
import { IGNORED } from "../../../src/data/rows.ts";
import { encodeRow } from "../../../src/data/sequences.ts";
import { loadTemplate } from "../../../src/data/template.ts";
import type { Json, JsonObject } from "../../../src/json.ts";
import { installed } from "../support.ts";
import * as styles from "./styles.ts";

const libraries = (await installed("@huggingface/jinja")) && (await installed("@huggingface/tokenizers"));

const SPECIAL = [
  "<|begin_of_text|>,<|start_header_id|>,<|end_header_id|>,<|eot_id|>,<|im_start|>,<|im_end|>,<|start|>,<|end|>",
  "<|message|>,<|channel|>,<|return|>,<|call|>,<｜User｜>,<｜Assistant｜>,<｜end▁of▁sentence｜>,<bos>,<start_of_turn>",
  "<end_of_turn>,</s>,<SPECIAL_10>,<SPECIAL_11>,<SPECIAL_12>",
].flatMap((line) => line.split(","));

const file = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** Bytes, and the special tokens of all styles. */
async function tokenizer() {
  const own = JSON.parse(new TextDecoder().decode(byteTokenizer().files.get("tokenizer.json"))) as JsonObject;
  const added_tokens = SPECIAL.map((content, i) => ({ id: 259 + i, content, special: true, normalized: false }));
  return loadTokenizer(new Map([["tokenizer.json", file({ ...own, added_tokens })]]), "m/");
}

type Part = string | readonly [string];

interface Style {
  readonly template: string;
  readonly bos?: string;
  readonly row: JsonObject;
  readonly turns?: Turns;
}

/** Compares the sequences of a row with parts written by hand. */
async function expectParts({ template: source, bos = "", row, turns }: Style, ...sequences: (readonly Part[])[]) {
  const ids = await tokenizer();
  const config = { chat_template: source, bos_token: bos, eos_token: "</s>" };
  const template = await loadTemplate(new Map([["tokenizer_config.json", file(config)]]), "m/");
  const options = { tokenizer: ids, template: template!, ...(turns && { turns }) };
  const found = encodeRow({ row: parseRow(row, "r:1"), place: "r:1" }, options);
  const shown = found.map((sequence) => partsOf(sequence, (list) => ids.decode(list)));
  expect(shown).toEqual(sequences.map((parts) => joined(parts)));
  for (const [i, parts] of sequences.entries()) {
    const pieces = parts.map((part) => [...ids.encode(typeof part === "string" ? part : part[0])]);
    expect([...found[i]!.ids]).toEqual(pieces.flat());
    const labels = parts.flatMap((part, p) => (typeof part === "string" ? pieces[p]!.map(() => IGNORED) : pieces[p]!));
    expect([...found[i]!.labels]).toEqual(labels);
  }
  if (turns === "each") return;
  const { Template } = await import("@huggingface/jinja");
  const plain = new Template(source.replaceAll(/\{% (end)?generation %\}/g, ""));
  const oracle = plain.render({ ...row, bos_token: bos, eos_token: "</s>" });
  expect(sequences[0]!.map((part) => (typeof part === "string" ? part : part[0])).join("")).toBe(oracle);
}

/** The text in parts again: neighbours that count alike are one. */
function partsOf({ ids, labels }: { ids: Int32Array; labels: Int32Array }, decode: (ids: number[]) => string): Part[] {
  const runs: { counts: boolean; ids: number[] }[] = [];
  for (const [i, id] of ids.entries()) {
    const counts = labels[i] !== IGNORED;
    if (runs.at(-1)?.counts !== counts) runs.push({ counts, ids: [] });
    runs.at(-1)!.ids.push(id);
  }
  return runs.map((run) => (run.counts ? [decode(run.ids)] : decode(run.ids)));
}

function joined(parts: readonly Part[]): Part[] {
  const all: Part[] = [];
  for (const part of parts) {
    const last = all.at(-1);
    if (typeof part === "string" && typeof last === "string") all[all.length - 1] = last + part;
    else if (typeof part !== "string" && last !== undefined && typeof last !== "string")
      all[all.length - 1] = [last[0] + part[0]];
    else all.push(part);
  }
  return all;
}

const say = (role: string, content: Json, rest: JsonObject = {}): JsonObject => ({ role, content, ...rest });
const TWO = [say("user", "Hello"), say("assistant", "Hi"), say("user", "2+2?"), say("assistant", "4")];
const THOUGHT = [
  say("user", "Hello"),
  say("assistant", "<think>\nA greeting.\n</think>\n\nHi"),
  say("user", "2+2?"),
  say("assistant", "<think>\nA sum.\n</think>\n\n4"),
];

const style = (name: string, check: () => Promise<void>) => test.skipIf(!libraries)(name, check);

style("Llama 3", () =>
  expectParts({ template: styles.LLAMA3, bos: "<|begin_of_text|>", row: { messages: TWO } }, [
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>",
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ["Hi<|eot_id|>"],
    "<|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|>",
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ["4<|eot_id|>"],
  ]),
);

style("ChatML, Qwen 2", () =>
  expectParts({ template: styles.CHATML, row: { messages: TWO } }, [
    "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    ["Hi<|im_end|>\n"],
    "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n",
    ["4<|im_end|>\n"],
  ]),
);

style("Qwen 3: thinking of earlier turns is taken out, and all turns count as they stand", () =>
  expectParts({ template: styles.QWEN3, row: { messages: THOUGHT } }, [
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    ["Hi<|im_end|>\n"],
    "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n",
    ["<think>\nA sum.\n</think>\n\n4<|im_end|>\n"],
  ]),
);

style("Qwen 3: each turn is a sequence of its own, as the model writes it", () =>
  expectParts(
    { template: styles.QWEN3, row: { messages: THOUGHT }, turns: "each" },
    [
      "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
      ["<think>\nA greeting.\n</think>\n\nHi<|im_end|>\n"],
    ],
    [
      "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi<|im_end|>\n",
      "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n",
      ["<think>\nA sum.\n</think>\n\n4<|im_end|>\n"],
    ],
  ),
);

style("Qwen 3: the last turn alone", () =>
  expectParts({ template: styles.QWEN3, row: { messages: TWO }, turns: "last" }, [
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi<|im_end|>\n",
    "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n",
    ["<think>\n\n</think>\n\n4<|im_end|>\n"],
  ]),
);

const CALL = { type: "function", function: { name: "add", arguments: { a: 2 } } };
const TOOLS = [{ type: "function", function: { name: "add", parameters: {} } }];

style("Qwen 3: tools, calls without content, thoughts under a key of their own", () =>
  expectParts(
    {
      template: styles.QWEN3,
      row: {
        tools: TOOLS,
        messages: [
          say("user", "2+2?"),
          say("assistant", null, { tool_calls: [CALL], reasoning_content: "Add." }),
          say("tool", "4"),
          say("assistant", "It is 4"),
          say("user", "Sure?"),
          say("assistant", "Yes", { reasoning_content: "Checked." }),
        ],
      },
    },
    [
      '<|im_start|>system\n# Tools\n{"type": "function", "function": {"name": "add", "parameters": {}}}\n<|im_end|>\n',
      "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n",
      ['<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call><|im_end|>\n'],
      "<|im_start|>user\n<tool_response>\n4\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
      ["It is 4<|im_end|>\n"],
      "<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n",
      ["<think>\nChecked.\n</think>\n\nYes<|im_end|>\n"],
    ],
  ),
);

style("Qwen 3.5: what the generation prompt opens is not written by the assistant", () =>
  expectParts(
    {
      template: styles.QWEN35,
      row: { messages: TWO.map((message, i) => (i === 3 ? { ...message, reasoning_content: "A sum." } : message)) },
    },
    [
      "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
      ["Hi<|im_end|>\n"],
      "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n<think>\n",
      ["A sum.\n</think>\n\n4<|im_end|>\n"],
    ],
  ),
);

style("gpt-oss: channels, and another end in history", () =>
  expectParts(
    {
      template: styles.HARMONY,
      row: { messages: TWO.map((message, i) => (i % 2 === 1 ? { ...message, thinking: "Hm." } : message)) },
    },
    [
      "<|start|>system<|message|>You help.<|end|><|start|>user<|message|>Hello<|end|><|start|>assistant",
      ["<|channel|>final<|message|>Hi<|end|>"],
      "<|start|>user<|message|>2+2?<|end|><|start|>assistant",
      ["<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>"],
    ],
  ),
);

style("gpt-oss: a call of a tool ends in <|call|>", () =>
  expectParts(
    {
      template: styles.HARMONY,
      row: {
        messages: [
          say("user", "2+2?"),
          say("assistant", null, { thinking: "Add.", tool_calls: [CALL] }),
          say("tool", "4"),
          say("assistant", "It is 4"),
        ],
      },
    },
    [
      "<|start|>system<|message|>You help.<|end|><|start|>user<|message|>2+2?<|end|><|start|>assistant",
      [
        "<|channel|>analysis<|message|>Add.<|end|>" +
          '<|start|>assistant to=functions.add<|channel|>commentary json<|message|>{"a": 2}<|call|>',
      ],
      "<|start|>tool<|message|>4<|end|><|start|>assistant",
      ["<|channel|>final<|message|>It is 4<|return|>"],
    ],
  ),
);

style("DeepSeek: the prompt opens a thinking that answers do not show", () =>
  expectParts({ template: styles.DEEPSEEK, bos: "<bos>", row: { messages: [say("system", "Help."), ...THOUGHT] } }, [
    "<bos>Help.<｜User｜>Hello<｜Assistant｜>",
    ["\n\nHi<｜end▁of▁sentence｜>"],
    "<｜User｜>2+2?<｜Assistant｜>",
    ["\n\n4<｜end▁of▁sentence｜>"],
  ]),
);

style("Gemma: other names of roles, and a template that minds their order", () =>
  expectParts({ template: styles.GEMMA, bos: "<bos>", row: { messages: [say("system", "Help."), ...TWO] } }, [
    "<bos><start_of_turn>user\nHelp.\n\nHello<end_of_turn>\n<start_of_turn>model\n",
    ["Hi<end_of_turn>\n"],
    "<start_of_turn>user\n2+2?<end_of_turn>\n<start_of_turn>model\n",
    ["4<end_of_turn>\n"],
  ]),
);

style("Mistral: no generation prompt", () =>
  expectParts({ template: styles.MISTRAL, bos: "<bos>", row: { messages: TWO } }, [
    "<bos>[INST] Hello[/INST]",
    [" Hi</s>"],
    "[INST] 2+2?[/INST]",
    [" 4</s>"],
  ]),
);

style("Nemotron: thinking of earlier turns is taken out", () =>
  expectParts({ template: styles.NEMOTRON, row: { messages: [say("system", "/think"), ...THOUGHT] } }, [
    "<SPECIAL_10>System\n/think\n<SPECIAL_11>User\nHello\n<SPECIAL_11>Assistant\n",
    ["Hi\n<SPECIAL_12>\n"],
    "<SPECIAL_11>User\n2+2?\n<SPECIAL_11>Assistant\n",
    ["<think>\nA sum.\n</think>\n\n4\n<SPECIAL_12>\n"],
  ]),
);

style("marks of the template decide, for all turns and for the last", async () => {
  const before = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n";
  const between = "\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n";
  const row = { messages: TWO };
  await expectParts({ template: styles.MARKED, row }, [before, ["Hi<|im_end|>"], between, ["4<|im_end|>"], "\n"]);
  await expectParts({ template: styles.MARKED, row, turns: "last" }, [
    `${before}Hi<|im_end|>${between}`,
    ["4<|im_end|>"],
    "\n",
  ]);
});

style("what begins the next turn ends an answer that nothing ends", () =>
  expectParts(
    {
      template:
        "{% for m in messages %}{{ '<|start|>' if m.role == 'user' else '<|message|>' }}{{ m.content }}{% endfor %}",
      row: { messages: TWO },
    },
    ["<|start|>Hello", ["<|message|>Hi<|start|>"], "2+2?", ["<|message|>4"]],
  ),
);
