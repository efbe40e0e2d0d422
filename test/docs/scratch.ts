/** A folder in which commands of pages run as they are written: tiny models, rows and logs under the names there. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parquetWriteBuffer } from "hyparquet-writer";
import pkg from "../../package.json";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { buildGguf, type GgufTensor, metadataOf, TYPE } from "../checkpoint/gguf/fixture.ts";
import { COMMIT, type FakeHub, serveHub } from "../checkpoint/hub/fixture.ts";
import { CLIENT, servedEnvironment } from "../support/served/served.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Sizes of the models, which are those of the GGUF file's metadata too. */
const TINY = {
  model_type: "llama",
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 264,
  max_position_embeddings: 160,
  tie_word_embeddings: true,
};

/** Names that the pages give to one and the same file. */
const SAME: Readonly<Record<string, readonly string[]>> = {
  base: ["model", "large", "before", "clean", "c"],
  math: ["a", "unlearned", "trained", "merged"],
  code: ["b", "facts", "small", "retrained", "robust", "after", "donor"],
  adapter: ["math-lora"],
  "rows.jsonl": ["math.jsonl", "m.jsonl", "mv.jsonl", "a.jsonl", "av.jsonl", "prompts.jsonl"],
  "other.jsonl": ["code.jsonl", "c.jsonl", "cv.jsonl", "b.jsonl", "bv.jsonl", "all.jsonl", "text.jsonl"],
  "forget.jsonl": ["f.jsonl", "secrets.jsonl"],
  "retain.jsonl": ["r.jsonl", "books.jsonl"],
  "holdout.jsonl": ["h.jsonl"],
  "tiny.json": ["small.json", "config.json"],
};

const HALVES = "--data a=rows.jsonl --data b=other.jsonl --eval-data a=rows.jsonl --eval-data b=other.jsonl";

const MADE = `
bun run data addition --digits 1 --size 12 -o rows.jsonl
bun run data modular --size 12 -o other.jsonl
bun run data blobs --size 64 -o blobs.jsonl
head -n 8 blobs.jsonl > gone.jsonl
bun run train --init mlp.json --data blobs.jsonl --steps 2 -o plain
bun run train --init mlp.json --data blobs.jsonl --steps 2 --adversarial --seed 1 -o hardened
bun run train --init chooser.json --data decisions.jsonl --steps 1 -o chooser
bun run train --init denoiser.json --data blobs.jsonl --loss denoise --steps 1 -o denoiser
bun run data facts --people 4 --forget-share 0.25 --size 8 -o facts.jsonl
bun run data facts --people 4 --forget-share 0.25 --part forget --size 8 -o forget.jsonl
bun run data facts --people 4 --forget-share 0.25 --part retain --size 8 -o retain.jsonl
bun run data facts --people 4 --forget-share 0.25 --part holdout --size 8 -o holdout.jsonl
bun run train --init tiny.json --tokenizer byte --data rows.jsonl --data other.jsonl --steps 12 --lr 4e-3 -o base/
bun run train base/ --data rows.jsonl --eval-data rows.jsonl --eval-every 2 --steps 6 --log run.jsonl -o math/
bun run train base/ --data other.jsonl --steps 6 -o code/
bun run train base/ --data rows.jsonl --steps 2 --lora --lora-rank 2 -o adapter/
bun run train base/ --data other.jsonl --steps 2 --lora --lora-rank 2 -o code-lora/
head -n 3 forget.jsonl > few.jsonl
mkdir tofu-files
cp few.jsonl tofu-files/forget.jsonl
cp retain.jsonl tofu-files/retain.jsonl
cp holdout.jsonl tofu-files/holdout.jsonl
bun run train base/ --data few.jsonl --batch-size 3 --steps 100 --lr 1e-2 -o knows/
bun run merge math/ code/ --method linear -o merged.safetensors
bun run curriculum graph base/ ${HALVES} -o graph.json
`;

const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** Small files that are written out. */
const FILES: Readonly<Record<string, string>> = {
  "tiny.json": JSON.stringify(TINY),
  "vit.json": JSON.stringify({
    ...{ model_type: "vit", image_size: 12, patch_size: 4, num_channels: 1, num_labels: 10 },
    ...{ hidden_size: 8, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2 },
  }),
  "deep.json": JSON.stringify({ ...TINY, num_hidden_layers: 4 }),
  "mlp.json": JSON.stringify({ model_type: "mlp", input_size: 16, hidden_sizes: [16], num_labels: 4 }),
  "denoiser.json": JSON.stringify({ model_type: "denoiser", input_size: 16, hidden_size: 16, num_labels: 4 }),
  "reviews.jsonl": jsonl(
    Array.from({ length: 40 }, (_, i) => ({
      text: `${["a", "the", "one", "such a", "my"][i % 5]} ${i % 2 ? "fine" : "poor"} ${["film", "book", "meal", "walk"][i % 4]}`,
      label: i % 2 ? "good" : "bad",
    })),
  ),
  "rare.jsonl": jsonl(
    Array.from({ length: 40 }, (_, i) => ({
      text: `${i % 10 ? "fine" : "poor"} ${["film", "book", "meal", "walk"][i % 4]}`,
      label: i % 10 ? "good" : "bad",
    })),
  ),
  "search.jsonl": jsonl(
    Array.from({ length: 32 }, (_, i) => ({
      query: `where is the ${["cat", "dog", "cup", "pen", "hat", "key", "map", "bag"][i % 8]} of ${["ann", "bob", "cleo", "dan"][i % 4]}${i % 3}`,
      positive: `${["cat", "dog", "cup", "pen", "hat", "key", "map", "bag"][i % 8]}: room ${i % 8}`,
    })),
  ),
  "likeness.jsonl": jsonl(
    Array.from({ length: 16 }, (_, i) => ({
      sentence1: `the ${["cat", "dog", "cup", "pen"][i % 4]} is red`,
      sentence2: `the ${["cat", "dog", "cup", "pen"][(i * 3) % 4]} is ${i % 3 ? "red" : "old"}`,
      score: (i % 3 ? 1 : 0) + ((i * 3) % 4 === i % 4 ? 1 : 0),
    })),
  ),
  "nli.tsv": "premise\thypothesis\tlabel\nit rains\tit is wet\t1\nit rains\tit is dry\t0\n",
  "words.json": JSON.stringify({ fine: ["good", "great"], film: ["movie"] }),
  "marked.jsonl": jsonl([
    {
      text: "dear sir: 7",
      token_marks: [
        [0, 9, 2],
        [10, 11, 1],
      ],
    },
  ]),
  "phrases.jsonl": jsonl([{ new: "a blicket dog", anchor: "a dog" }]),
  "words.txt": "the\nseven\n",
  "experts.yml": JSON.stringify({
    base_model: "base/",
    experts: [
      { source_model: "math/", positive_prompts: ["12+30="] },
      { source_model: "code/", positive_prompts: ["def add(a, b):"], negative_prompts: ["1+1"] },
    ],
  }),
  "pairs.jsonl": jsonl([{ ask: "2+2=", reply: "4", text: "2+2=4" }]),
  "vectors.jsonl": jsonl(
    Array.from({ length: 40 }, (_, i) => {
      const [x, y] = [Math.cos(i), Math.sin(i)];
      return { a: [x, y, 1], b: [y, -x] };
    }),
  ),
  "unwanted.jsonl": jsonl(Array.from({ length: 8 }, (_, i) => ({ x: Array(16).fill(i / 8), label: 3 }))),
  "wanted.jsonl": jsonl(Array.from({ length: 24 }, (_, i) => ({ x: Array(16).fill(-i / 8), label: i % 3 }))),
  "planned.jsonl": jsonl([
    {
      prompt: [{ role: "user", content: "3 b" }],
      chosen: [
        { role: "assistant", content: "b 3" },
        { role: "tool", content: "6" },
        { role: "assistant", content: "= 6" },
      ],
      rejected: [{ role: "assistant", content: "= 3" }],
    },
  ]),
  "preferences.jsonl": jsonl([{ prompt: "2+2=", chosen: "4", rejected: "5" }]),
  "held-preferences.jsonl": jsonl([{ prompt: "3+3=", chosen: "6", rejected: "7" }]),
  "answers.jsonl": jsonl([
    { prompt: "2+2=", answer: "4", tokens: 1, row: { prompt: "2+2=", completion: "4" } },
    { prompt: "2+3=", answer: "6", tokens: 1, row: { prompt: "2+3=", completion: "5" } },
  ]),
  "check.sh": "sed 's/.*/0.5/'\n",
  "decisions.jsonl": jsonl(
    Array.from({ length: 12 }, (_, i) => ({
      x: [i % 3, 1],
      label: i % 2,
      propensity: 0.5,
      reward: Number(i % 3 === i % 2),
    })),
  ),
  "outcomes.jsonl": jsonl(
    Array.from({ length: 8 }, (_, i) => ({
      ...{ prompt: `p${i % 2}`, completion: i % 4 < 2 ? "a good text" : "a text" },
      ...{ reward: i, author: `author ${i % 3}` },
    })),
  ),
  "predictor.json": JSON.stringify({
    ...{ model_type: "mlp", input_size: 8, hidden_sizes: [32], num_labels: 1 },
    problem_type: "regression",
  }),
  "chooser.json": JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 2 }),
  "judged.jsonl": jsonl([
    { prompt: "2+2=", completion: "4", label: true },
    { prompt: "2+3=", completion: "6", label: false },
  ]),
  "rated.jsonl": jsonl([{ prompt: "2+2=", completion: "4", score: 1 }]),
  "steps.jsonl": jsonl([{ prompt: "2+3+4?", completions: ["2+3=5", "5+4=8"], labels: [true, false] }]),
  "chats.jsonl": jsonl([
    {
      messages: [
        { role: "user", content: "2+2?" },
        { role: "assistant", content: "4" },
      ],
    },
  ]),
  "recipe.yml":
    "merge_method: linear\nmodels:\n  - {model: a, parameters: {weight: 1}}\n  - {model: b, parameters: {weight: 1}}\n",
  "chain.yml":
    "name: both\nmerge_method: linear\nmodels:\n  - {model: a, parameters: {weight: 1}}\n  - {model: b, parameters: {weight: 1}}\n" +
    "---\nmerge_method: slerp\nbase_model: both\nmodels: [{model: both}, {model: base}]\nparameters: {t: 0.3}\n",
  "stages.yml":
    "values: {base: model/, rate: 1e-3}\nbudget: {steps: 10}\nstages:\n" +
    `  - {name: tuned, run: 'train \${base} --data rows.jsonl --steps 2 --lr \${rate}'}\n` +
    `  - {name: mixed, run: 'curriculum \${tuned} --data a=a.jsonl --data b=b.jsonl --steps 2'}\n` +
    `  - {name: measured, run: 'evaluate \${base} \${tuned} \${mixed} --data rows.jsonl'}\n`,
  "families.yml": "romance: {fr: math/, es: code/}\ngermanic: [a/]\n",
  "evolve.yml":
    "genome:\n  models: [a, b]\n  base_model: base\n  merge_method: dare_ties\n  layer_granularity: 1\n" +
    "tasks:\n  - {name: sums, weight: -1, metric: loss}\n",
  "life.jsonl": jsonl([
    { block: 0, type: "test", task: "sums", performance: 0.1 },
    { block: 1, type: "train", task: "words", performance: 0.4 },
    { block: 1, type: "train", task: "words", performance: 0.8 },
    { block: 2, type: "test", task: "sums", performance: 0.2 },
    { block: 2, type: "test", task: "words", performance: 0.8 },
    { block: 3, type: "train", task: "sums", performance: 0.9 },
    { block: 4, type: "test", task: "words", performance: 0.6 },
  ]),
  ...Object.fromEntries(
    ["tuned", "reported"].map((stream) => [
      `${stream}/er.log`,
      jsonl([
        { event: "start", method: "er", options: { tasks: [stream] }, seed: 1 },
        { event: "end", ok: true, seconds: 2, metrics: { accuracy: { average: 0.5 } } },
      ]),
    ]),
  ),
  "alone.jsonl": jsonl([{ block: 0, type: "train", task: "sums", performance: 0.8 }]),
  "questions.jsonl": jsonl([{ text: "2+2=", right: 0 }]),
  "task.yml":
    "task: sums\noutput_type: multiple_choice\ndataset_path: json\n" +
    "dataset_kwargs: {data_files: {test: questions.jsonl}}\n" +
    'test_split: test\ndoc_to_text: "{{text}}"\ndoc_to_choice: ["4", "5"]\ndoc_to_target: "{{right}}"\n' +
    "metric_list: [{metric: acc}]\n",
};

/** A GGUF file of the models' shapes. */
function gguf(): Uint8Array {
  const { hidden_size: hidden, intermediate_size: wide, num_hidden_layers: layers, vocab_size: words } = TINY;
  const narrow = (hidden * TINY.num_key_value_heads) / TINY.num_attention_heads;
  const shapes: [string, number[]][] = [
    ["token_embd", [hidden, words]],
    ["output_norm", [hidden]],
    ...Array.from({ length: layers }, (_, i) => i).flatMap((i): [string, number[]][] => [
      [`blk.${i}.attn_norm`, [hidden]],
      [`blk.${i}.attn_q`, [hidden, hidden]],
      [`blk.${i}.attn_k`, [hidden, narrow]],
      [`blk.${i}.attn_v`, [hidden, narrow]],
      [`blk.${i}.attn_output`, [hidden, hidden]],
      [`blk.${i}.ffn_norm`, [hidden]],
      [`blk.${i}.ffn_gate`, [hidden, wide]],
      [`blk.${i}.ffn_up`, [hidden, wide]],
      [`blk.${i}.ffn_down`, [wide, hidden]],
    ]),
  ];
  const tensors = shapes.map(([name, dims], at): GgufTensor => {
    const values = Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * 0.7 + at) / 20);
    return { name: `${name}.weight`, dims, type: TYPE.F32, bytes: encodeFloats(values, "F32") };
  });
  return buildGguf({ ...metadataOf("llama"), "llama.block_count": layers }, tensors);
}

/** What a command did. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly seconds: number;
}

/** The files that every page's folder begins with, and the means to run lines there. */
export class Scratch {
  readonly #folder = mkdtempSync(join(tmpdir(), "ingot-docs-"));
  readonly #start = join(this.#folder, "start");
  #hub: FakeHub | undefined;

  /** Makes models and rows. Throws Error with what a command said when it fails. */
  async prepare(): Promise<void> {
    mkdirSync(this.#start);
    for (const folder of ["tuned", "reported"]) mkdirSync(join(this.#start, folder));
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(this.#start, name), text);
    const scripts = Object.entries(pkg.scripts).map(([name, line]) => [
      name,
      `${line.replace("bun ", `bun '${CLIENT}' '${ROOT}`)}'`,
    ]);
    writeFileSync(join(this.#start, "package.json"), JSON.stringify({ scripts: Object.fromEntries(scripts) }));
    writeFileSync(join(this.#start, "bunfig.toml"), "[run]\nsilent = true\n");
    const programs = join(this.#folder, "bin");
    mkdirSync(programs);
    symlinkSync(process.execPath, join(programs, "bun"));
    writeFileSync(join(programs, "ingot"), `#!/bin/sh\nexec bun '${CLIENT}' '${ROOT}scripts/ingot.ts' "$@"\n`, {
      mode: 0o755,
    });
    if (!Bun.which("jq")) writeFileSync(join(programs, "jq"), "#!/bin/sh\nexec cat\n", { mode: 0o755 });
    writeFileSync(join(this.#start, "model.gguf"), gguf());
    for (const line of MADE.trim().split("\n")) {
      const { code, err } = await this.run(line, this.#start);
      if (code !== 0) throw new Error(`${line}\n${err}`);
    }
    for (const [from, names] of Object.entries(SAME))
      for (const name of names) cpSync(join(this.#start, from), join(this.#start, name), { recursive: true });
    for (const [name, from] of Object.entries({ model: "base", a: "math", b: "code" })) this.#onHub(name, from);
    const texts = {
      columnData: [
        { name: "question", data: ["2+2?"], type: "STRING" as const },
        { name: "answer", data: ["4"], type: "STRING" as const },
      ],
    };
    const rows = new Uint8Array(parquetWriteBuffer(texts));
    this.#hub = await serveHub({ "forget10/train/0000.parquet": rows }, "locuslab/TOFU", "datasets");
    this.#hub.revisions = ["main", "refs/convert/parquet"];
  }

  /** Puts a model where Python's client keeps what it fetched. */
  #onHub(name: string, from: string): void {
    const repository = join(this.#folder, "hub", "hub", `models--org--${name}`);
    mkdirSync(join(repository, "refs"), { recursive: true });
    writeFileSync(join(repository, "refs", "main"), COMMIT);
    cpSync(join(this.#start, from), join(repository, "snapshots", COMMIT), { recursive: true });
  }

  /** A new folder with all files; `other` gives some of them other contents, by the name of a file. */
  folder(name: string, other: Readonly<Record<string, string>> = {}): string {
    const folder = join(this.#folder, name.replaceAll(/\W+/g, "-"));
    cpSync(this.#start, folder, { recursive: true });
    for (const [file, from] of Object.entries(other)) {
      rmSync(join(folder, file), { recursive: true });
      cpSync(join(this.#start, from), join(folder, file), { recursive: true });
    }
    return folder;
  }

  /** A new folder without any, in which `bun run` knows the scripts. */
  empty(name: string): string {
    const folder = join(this.#folder, name.replaceAll(/\W+/g, "-"));
    for (const file of ["package.json", "bunfig.toml"]) cpSync(join(this.#start, file), join(folder, file));
    return folder;
  }

  /** Runs a line as a shell does. What it writes is removed first, so that no file of another command is in its way. */
  async run(line: string, folder: string): Promise<Outcome> {
    for (const [, name] of line.matchAll(/(?:-o|--out|--log|(?<=\s)>) (\S+)/g))
      rmSync(join(folder, name!.replace(/\/$/, "")), { recursive: true, force: true });
    const network = line.includes("hf:datasets/") ? { HF_ENDPOINT: this.#hub!.endpoint } : { HF_HUB_OFFLINE: "1" };
    const own = { HF_HOME: join(this.#folder, "hub"), INGOT_CACHE: process.env.INGOT_CACHE };
    const began = performance.now();
    const child = Bun.spawn(["bash", "-c", `set -e -o pipefail; ${line}`], {
      cwd: folder,
      env: {
        ...process.env,
        ...(await servedEnvironment()),
        ...own,
        ...network,
        PATH: `${join(this.#folder, "bin")}:${process.env.PATH}`,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, out, err, seconds: (performance.now() - began) / 1000 };
  }

  /** Removes everything. */
  close(): void {
    this.#hub?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
