/** Chat templates that a merge writes: what each form renders, where it is stored, what is refused. */
import { describe, expect, test } from "bun:test";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { parseRecipe } from "../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { referenceKey } from "../../../src/checkpoint/reference.ts";
import { loadTemplate } from "../../../src/data/template.ts";
import { planMerge } from "../../../src/merge/plan/merge-plan.ts";
import { installed } from "../../data/support.ts";
import { decoder, METHODS } from "../plan/fixtures.ts";

const jinja = await installed("@huggingface/jinja");

async function planned(models: readonly Checkpoint[], template: string) {
  const list = models.map(({ ref }) => `- {model: ${ref}, parameters: {weight: 1}}`).join("\n");
  const text = `merge_method: linear\nmodels:\n${list}\nchat_template: ${JSON.stringify(template)}\n`;
  const [recipe] = await parseRecipe(text, "r.yml");
  return planMerge(
    recipe!,
    new Map(models.map((model) => [referenceKey({ path: model.ref }), model])),
    METHODS.get("linear")!,
  );
}

const model = (ref: string, chat_template?: string) =>
  decoder(ref, 1, { "tokenizer_config.json": { bos_token: "<s>", ...(chat_template && { chat_template }) } });
const configOf = ({ files }: { files: ReadonlyMap<string, Uint8Array> }) =>
  JSON.parse(new TextDecoder().decode(files.get("tokenizer_config.json")));

const TALK = [
  { role: "system", content: "Be short." },
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Hello" },
  { role: "user", content: "Why?" },
];

describe.skipIf(!jinja)("forms by name", () => {
  test.each([
    [
      "chatml",
      "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
    ],
    [
      "llama3",
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe short.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ],
    ["mistral", "<s>[INST] Be short. [/INST][INST] Hi [/INST] Hello</s>[INST] Why? [/INST]"],
    [
      "alpaca",
      "Be short.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n### Instruction:\nWhy?\n\n### Response:\n",
    ],
    [
      "exaone",
      "[|system|]Be short.[|endofturn|]\n[|user|]Hi\n[|assistant|]Hello[|endofturn|]\n[|user|]Why?\n[|assistant|]",
    ],
  ])("%s renders as its models were trained", async (name, wanted) => {
    const { files } = await planned([model("x"), model("y")], name);
    const template = (await loadTemplate(files, "m/"))!;
    expect(template.render(TALK, { generationPrompt: true })).toBe(wanted);
  });
});

describe("a template", () => {
  test("of most models is auto; of several the donor's", async () => {
    const [x, y, z, w] = [model("x", "{{ 1 }}"), model("y", "{{ 2 }}"), model("z", "{{ 2 }}"), model("w")];
    expect(configOf(await planned([x, y, z], "auto")).chat_template).toBe("{{ 2 }}");
    expect(configOf(await planned([x, y], "auto")).chat_template).toBe("{{ 1 }}");
    expect(configOf(await planned([w, y], "auto")).chat_template).toBe("{{ 2 }}");
    expect(configOf(await planned([w, w], "auto"))).toEqual({ bos_token: "<s>" });
  });

  test("is stored where the model's own was, or beside the tokenizer", async () => {
    expect(configOf(await planned([model("x", "{{ 1 }}")], "{{ 3 }}"))).toEqual({
      bos_token: "<s>",
      chat_template: "{{ 3 }}",
    });
    const apart = decoder("x", 1, { "chat_template.jinja": "{{ 1 }}", "tokenizer_config.json": {} });
    const { files } = await planned([apart], "{{ 4 }}\n");
    expect(new TextDecoder().decode(files.get("chat_template.jinja"))).toBe("{{ 4 }}\n");
    expect(new TextDecoder().decode(files.get("tokenizer_config.json"))).toBe("{}");
  });

  test("whose tokens the vocabulary lacks is told; what is no template is refused", async () => {
    const known = decoder("x", 1, {
      "tokenizer.json": { added_tokens: [{ id: 1, content: "<|im_start|>" }], model: { type: "BPE", vocab: { a: 0 } } },
    });
    const { warnings } = await planned([known], "chatml");
    expect(warnings).toContain(
      "chat_template chatml: <|im_end|> are no tokens of the result, and are spelled in pieces",
    );
    if (jinja) {
      expect(planned([known], "{% for m in messages %}{{ m }}")).rejects.toThrow("it ends within a block");
      expect(planned([known], "{{ 1 +")).rejects.toThrow("r.yml:4:16: chat-template cannot be read as Jinja");
      const marked = await planned([known], "{% generation %}{{ 1 }}{% endgeneration %}");
      expect(marked.files.has("chat_template.jinja")).toBe(true);
    }
    expect(planned([known], "chatlm")).rejects.toThrow("r.yml:4:16: chat-template chatlm is no name");
  });
});
