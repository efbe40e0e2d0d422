/**
 * The recipes of mergekit's examples folder, README and guides (https://github.com/arcee-ai/mergekit), in our own
 * words: the same keys, methods, slices, gradients, filters and tokenizer blocks, over models of other names. `moe`
 * ones are of its `mergekit-moe`, the others of `mergekit-yaml`, `mergekit-mega` and `mergekit-multi`.
 */

export interface Example {
  /** Where mergekit shows it. */
  readonly place: string;
  readonly recipe: string;
  /** Layers of the models. */
  readonly layers?: number;
  /** Models that have a tokenizer with these tokens more. */
  readonly tokens?: Readonly<Record<string, readonly string[]>>;
}

const pair = (more: string, ...lines: string[]) =>
  ["models:", "  - model: one/math", "  - model: two/code", more, ...lines].join("\n");
const weighed = (method: string, parameters: string, ...more: string[]) => `
merge_method: ${method}
base_model: org/base
models:
  - model: one/math
    parameters: {weight: 0.6, ${parameters}}
  - model: two/code
    parameters: {weight: 0.4, ${parameters}}
${more.join("\n")}
`;

const CHATML = ["<|im_start|>", "<|im_end|>"];
const LLAMA3 = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];

/** By names of our own. */
export const EXAMPLES: Readonly<Record<string, Example>> = {
  "bio-merge": {
    place: "examples/bio-merge.yml",
    recipe: `
models:
  - model: instruct/seven-b
    parameters: {density: 0.5, weight: 0.5}
  - model: medical/seven-b
    parameters: {density: 0.5, weight: 0.5}
merge_method: ties
base_model: maker/seven-b
parameters:
  normalize: false
  int8_mask: true
dtype: float16`,
  },
  "gradient-slerp": {
    place: "examples/gradient-slerp.yml",
    layers: 40,
    recipe: `
slices:
  - sources:
      - {model: mini/thirteen-b, layer_range: [0, 40]}
      - {model: plat/thirteen-b, layer_range: [0, 40]}
merge_method: slerp
base_model: mini/thirteen-b
parameters:
  t:
    - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
    - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
    - value: 0.5 # for what is left
dtype: float16`,
  },
  "gradient-slerp by pattern": {
    place: "examples/gradient-slerp.yml, as it was in 2023",
    layers: 40,
    recipe: `
slices:
  - sources:
      - {model: mini/thirteen-b, layer_range: [0, 40]}
      - {model: plat/thirteen-b, layer_range: [0, 40]}
merge_method: slerp
base_model: mini/thirteen-b
parameters:
  t:
    - {pattern: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
    - {pattern: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
    - value: 0.5
dtype: float16`,
  },
  linear: {
    place: "examples/linear.yml",
    recipe: `
models:
  - model: mini/thirteen-b
    parameters: {weight: 1.0}
  - model: wizard/thirteen-b
    parameters: {weight: 0.3}
  - model: plat/thirteen-b
    parameters: {weight: 0.5}
merge_method: linear
dtype: float16`,
  },
  mega: {
    place: "examples/mega.yml",
    layers: 40,
    recipe: `
slices:
  - sources:
      - {model: mini/thirteen-b, layer_range: [0, 40]}
      - {model: plat/thirteen-b, layer_range: [0, 40]}
merge_method: slerp
base_model: mini/thirteen-b
parameters:
  t:
    - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
    - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
    - value: 0.5
dtype: float16
name: first-step
---
models:
  - model: first-step
    parameters: {density: [1, 0.7, 0.1], weight: 1.0}
  - model: wizard/thirteen-b
    parameters:
      density: 0.33
      weight:
        - {filter: mlp, value: 0.5}
        - value: 0
merge_method: ties
base_model: maker/thirteen-b
parameters: {normalize: true, int8_mask: true}
dtype: float16
name: second-step`,
  },
  "mega by out_path": {
    place: "examples/mega.yml, as it was in 2023",
    layers: 40,
    recipe: `
slices:
  - sources:
      - {model: mini/thirteen-b, layer_range: [0, 40]}
      - {model: plat/thirteen-b, layer_range: [0, 40]}
merge_method: slerp
base_model: mini/thirteen-b
parameters: {t: 0.4}
dtype: float16
out_path: ./made/first-step
---
models:
  - model: ./made/first-step
    parameters: {density: [1, 0.7, 0.1], weight: 1.0}
  - model: wizard/thirteen-b
    parameters: {density: 0.33, weight: [{filter: mlp, value: 0.5}, {value: 0}]}
merge_method: ties
base_model: maker/thirteen-b
parameters: {normalize: true, int8_mask: true}
dtype: float16
out_path: ./made/second-step`,
  },
  "forty-four layers": {
    place: "examples/orcamini-platy-44layer.yml",
    layers: 40,
    recipe: `
slices:
  - sources:
    - {model: mini/thirteen-b, layer_range: [0, 24]}
  - sources:
    - {model: plat/thirteen-b, layer_range: [20, 40]}
merge_method: passthrough
dtype: float16`,
  },
  ties: {
    place: "examples/ties.yml",
    recipe: `
models:
  - model: mini/thirteen-b
    parameters:
      density: [1, 0.7, 0.1] # falls with depth
      weight: 1.0
  - model: plat/thirteen-b
    parameters:
      density: 0.5
      weight: [0, 0.3, 0.7, 1] # rises with depth
  - model: wizard/thirteen-b
    parameters:
      density: 0.33
      weight:
        - filter: mlp
          value: 0.5
        - value: 0
merge_method: ties
base_model: maker/thirteen-b
parameters:
  normalize: true
  int8_mask: true
dtype: float16`,
  },
  "tokenizer block": {
    place: "README, tokenizer configuration",
    tokens: { "one/math": CHATML, "two/code": [...LLAMA3, "<|renamed|>"], "org/base": [] },
    recipe: weighed(
      "task_arithmetic",
      "",
      `tokenizer:
  source: "union"
  tokens:
    <|im_start|>: {source: one/math}
    <|eot_id|>: {source: two/code, force: true}
    <|new_name|>: {source: {kind: model_token, model: two/code, token: <|renamed|>}}
    <|by_id|>: {source: {kind: model_token, model: two/code, token_id: 3}}
    <|unused|>: {source: {kind: zero}}
  pad_to_multiple_of: null`,
    ),
  },
  "two prompt formats": {
    place: "README, tokenizer configuration, practical example",
    tokens: { "one/math": CHATML, "two/code": LLAMA3 },
    recipe: pair(
      "merge_method: linear",
      "parameters: {weight: 0.5}",
      `tokenizer:
  source: union
  tokens:
    <|im_start|>: {source: one/math}
    <|im_end|>: {source: one/math}
    <|start_header_id|>: {source: two/code, force: true}
    <|end_header_id|>: {source: two/code, force: true}
    <|eot_id|>: {source: two/code, force: true}`,
    ),
  },
  ...Object.fromEntries(
    ["union", "base", "one/math", "model:one/math"].map((source) => [
      `tokenizer_source ${source}`,
      {
        place: "README, legacy tokenizer_source",
        tokens: { "one/math": CHATML, "two/code": LLAMA3, "org/base": [] },
        recipe: weighed("task_arithmetic", "", `tokenizer_source: "${source}"`),
      },
    ]),
  ),
  ...Object.fromEntries(
    [
      "auto",
      "alpaca",
      "chatml",
      "llama3",
      "mistral",
      "exaone",
      "{% for m in messages %}{{ m['content'] }}{% endfor %}",
    ].map((template) => [
      `chat_template ${template.slice(0, 8)}`,
      {
        place: "README, chat template configuration",
        tokens: { "one/math": CHATML, "two/code": CHATML },
        recipe: pair("merge_method: linear", "parameters: {weight: 0.5}", `chat_template: "${template}"`),
      },
    ]),
  ),
  "guide: slerp": {
    place: "docs/merge_methods.md",
    recipe: pair("merge_method: slerp", "base_model: one/math", "parameters: {t: 0.5}", "dtype: bfloat16"),
  },
  "guide: nuslerp": {
    place: "docs/merge_methods.md",
    recipe: `
models:
  - model: one/math
    parameters: {weight: 0.3}
  - model: two/code
    parameters: {weight: 0.7}
merge_method: nuslerp
parameters: {nuslerp_flatten: false, nuslerp_row_wise: true}`,
  },
  "guide: nuslerp of task vectors": { place: "docs/merge_methods.md", recipe: weighed("nuslerp", "") },
  "guide: multislerp": {
    place: "docs/merge_methods.md",
    recipe: weighed("multislerp", "", "parameters: {normalize_weights: true, eps: 1e-8}"),
  },
  "guide: karcher": {
    place: "docs/merge_methods.md",
    recipe: pair("merge_method: karcher", "parameters: {max_iter: 10, tol: 1e-5}"),
  },
  ...Object.fromEntries(
    (
      [
        ["task_arithmetic", ""],
        ["ties", "density: 0.5"],
        ["dare_linear", "density: 0.5", "rescale: true"],
        ["dare_ties", "density: 0.5"],
        ["della", "density: 0.5, epsilon: 0.1"],
        ["della_linear", "density: 0.5, epsilon: 0.1"],
        ["breadcrumbs", "density: 0.9, gamma: 0.01"],
        ["breadcrumbs_ties", "density: 0.9, gamma: 0.01"],
      ] as const
    ).map(([method, parameters, more = "normalize: true"]) => [
      `guide: ${method}`,
      {
        place: "docs/merge_methods.md",
        recipe: weighed(method, parameters, `parameters: {lambda: 1.0, int8_mask: true, ${more}}`, "dtype: bfloat16"),
      },
    ]),
  ),
  "guide: sce": {
    place: "docs/merge_methods.md",
    recipe: pair("merge_method: sce", "base_model: org/base", "parameters: {select_topk: 0.1}"),
  },
  "guide: model_stock": {
    place: "docs/merge_methods.md",
    recipe: pair("merge_method: model_stock", "base_model: org/base", "parameters: {filter_wise: false}"),
  },
  "guide: nearswap": {
    place: "docs/merge_methods.md",
    recipe: pair("merge_method: nearswap", "base_model: one/math", "parameters: {t: 0.0001}"),
  },
  "guide: arcee_fusion": {
    place: "docs/merge_methods.md",
    recipe: pair("merge_method: arcee_fusion", "base_model: one/math", "dtype: bfloat16"),
  },
  "guide: passthrough": {
    place: "docs/merge_methods.md",
    layers: 4,
    recipe: `
slices:
  - sources:
      - {model: one/math, layer_range: [0, 4]}
  - sources:
      - model: one/math
        layer_range: [1, 3]
        parameters: {scale: [{filter: down_proj, value: 0.5}, {value: 1.0}]}
merge_method: passthrough`,
  },
  "several steps": {
    place: "docs/multimerge.md",
    recipe: `
name: first-merge
merge_method: linear
models:
  - model: maker/seven-b
  - model: medical/seven-b
parameters: {weight: 0.5}
---
name: second-merge
merge_method: slerp
base_model: first-merge # what the one before made
models:
  - model: chat/seven-b
parameters: {t: 0.5}
---
merge_method: dare_ties
base_model: maker/seven-b
models:
  - model: second-merge
    parameters: {density: 0.6, weight: 0.5}
  - model: helper/seven-b
    parameters: {density: 0.8, weight: 0.5}`,
  },
  "several steps, all named": {
    place: "docs/multimerge.md",
    recipe: `
name: first-merge
merge_method: task_arithmetic
base_model: maker/seven-b
models:
  - model: chat/seven-b
parameters: {weight: 1}
---
name: second-merge
merge_method: slerp
base_model: first-merge
models:
  - model: helper/seven-b
parameters: {t: 0.5}
---
name: third-merge
merge_method: linear
models:
  - model: first-merge
  - model: second-merge
parameters: {weight: 0.5}`,
  },
};

/** Of `mergekit-moe`: its own keys, over models in folders of these names. */
export const MOE_EXAMPLES: Readonly<Record<string, Example>> = {
  "moe: configuration": {
    place: "docs/moe.md",
    recipe: `
base_model: base
gate_mode: hidden # hidden, cheap_embed or random
dtype: bfloat16
experts_per_token: 2
experts:
  - source_model: one
    positive_prompts: ["What the first one is good at"]
    negative_prompts: ["What it is not for"]
  - source_model: two
    positive_prompts: ["Something else"]`,
  },
  "moe: a shared expert": {
    place: "docs/moe.md",
    recipe: `
base_model: base
gate_mode: hidden
architecture: qwen
dtype: bfloat16
experts:
  - {source_model: one, positive_prompts: [numbers]}
  - {source_model: two, positive_prompts: [letters]}
shared_experts:
  - source_model: base
    positive_prompts: ["anything"]
    residual_scale: 0.1`,
  },
  "moe: upcycling": {
    place: "docs/moe.md",
    recipe: `
base_model: base
gate_mode: random
dtype: bfloat16
experts:
${"  - source_model: base\n".repeat(8)}`,
  },
  "moe: four of them": {
    place: "docs/moe.md",
    recipe: `
base_model: one
gate_mode: hidden
dtype: bfloat16
experts:
  - source_model: one
    positive_prompts:
      - "<|im_start|>user\\nWho are you?<|im_end|>"
      - "<|im_start|>user\\nHelp me with"
  - source_model: two
    positive_prompts: ["As a doctor,"]
  - source_model: base
    positive_prompts:
      - "[Genre: Science Fiction]\\n[Tags: old school]"
      - "> go north"
  - source_model: three
    positive_prompts: ["Wie geht es dir?", "Das ist ein Satz."]`,
  },
};
