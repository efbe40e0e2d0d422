#!/usr/bin/env bun
/**
 * Digests of what the scripts of a repository give, to tell whether a change of the code changes any output byte.
 *
 *   bun test/support/digests.ts [--repo DIR] [--keep] -o before.json
 *   bun test/support/digests.ts --compare before.json after.json
 *
 * Every line runs in one temporary folder under fixed relative names, with a fixed environment. Its exit code is kept,
 * and a SHA-256 of stdout and of every file that it names as an output; for safetensors also one of names, types,
 * shapes and bytes of the tensors, without the metadata. Stderr is left out. Labels that begin with text/ are texts for
 * people: they are compared apart and do not decide the exit code. --keep leaves the folder, for a diff of two of them.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

/** A line of bash in which the scripts are commands; a signal breaks a run off, which --resume then ends. */
type Line = { readonly label: string; readonly line: string; readonly signal?: string };
/** The digest of an output, and that of its tensors if it is safetensors. */
type Part = readonly [whole: string, tensors?: string];
/** The exit code of a line, of a run that is broken off both, and its outputs by name. */
type Result = { readonly code: string; readonly parts: Readonly<Record<string, Part>> };
type Results = Record<string, Result>;

/** What varies legitimately in texts, between runs or versions; it is replaced before the digest is taken. */
const VARYING: readonly (readonly [RegExp, string])[] = [
  // The clock, the version and the random id of a run, as fields of JSON; the run of a lineage is a hash and stays.
  [/("(?:time|version)": ?|"event":"start","run":)"[^"]{5,}"/g, '$1"0"'],
  // Durations, throughput and the largest memory of the device, as fields of JSON.
  [/("(?:seconds|tokens_per_s|gpu_bytes)": ?)[\d.e+-]+/g, "$010"],
  // The version in texts.
  [/\b(ingot|version) \d+\.\d+\.\d+/g, "$1 0"],
];

const SIZES = { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, vocab_size: 264 };
const DECODER = { ...SIZES, num_key_value_heads: 1, max_position_embeddings: 160, initializer_range: 0.3 };
/** Files that are there before the first line. */
const FILES: Readonly<Record<string, string | object>> = {
  "llama.json": { ...DECODER, model_type: "llama" },
  "small.json": { ...DECODER, model_type: "llama", hidden_size: 12, num_hidden_layers: 1 },
  "qwen3.json": { ...DECODER, model_type: "qwen3", head_dim: 10, tie_word_embeddings: true },
  "mixtral.json": { ...DECODER, model_type: "mixtral", num_local_experts: 3, num_experts_per_tok: 2 },
  "gpt2.json": { model_type: "gpt2", n_embd: 16, n_head: 2, n_layer: 1, n_positions: 64, vocab_size: 264 },
  "mlp.json": { model_type: "mlp", input_size: 16, hidden_sizes: [12], num_labels: 4 },
  "vit.json": { ...SIZES, model_type: "vit", image_size: 12, patch_size: 4, num_channels: 1, num_labels: 10 },
  "options.yml": "method: task_arithmetic\nbase: base\nweight: [0.5, 0.75]\n",
  "recipe.yml": `{ merge_method: ties, base_model: base, dtype: bfloat16, parameters: { normalize: true }, models: [
  { model: math, parameters: { weight: 0.5, density: [0.3, 0.7] } },
  { model: tongue, parameters: { weight: [{ filter: mlp, value: 0.9 }, { value: 0.4 }], density: 0.5 } }] }\n`,
};

/** Rows `label: line` or `label SIGNAL: line`. OUT in a line is the label as a file name, TO a log and a checkpoint. */
function table(text: string): Line[] {
  const lines = text.trim().split("\n");
  return lines.map((row) => {
    const [, label, signal, line] = /^([^:]+?)(?: (SIG\w+))?: (.*)$/.exec(row)!;
    const whole = line!.replace(/ TO$/, " --log OUT.log -o OUT.safetensors");
    return { label: label!, line: whole.replaceAll("OUT", label!.replaceAll(/\W+/g, "-")), signal };
  });
}
/** A row for every word. */
const rows = (words: string, row: (word: string) => string): string => words.split(" ").map(row).join("\n");

const STEPS = "--batch-size 4 --lr 0.01 -q";
const FACTS = "data facts --people 4 --forget 0.25 -q --part";
const BASE = `train base ${STEPS} --steps 4`;
/** Data and models that the other tables use, in this order. */
const SETUP = table(`
${rows("target forget retain holdout", (part) => `setup/${part}: ${FACTS} ${part} -o ${part}.jsonl`)}
setup/sums: data addition --digits 2 --size 48 -q -o sums.jsonl
setup/sums-test: data addition --digits 2 --size 12 --split test -q -o sums-test.jsonl
setup/tongue: data markov --order 1 --length 24 --size 48 -q -o tongue.jsonl
setup/tongue-test: data markov --order 1 --length 24 --size 12 --split test -q -o tongue-test.jsonl
${rows("blobs glyphs", (task) => `setup/${task}: data ${task} --size 48 -q -o ${task}.jsonl`)}
train/init: train --init llama.json --tokenizer byte --data facts=target.jsonl --data sums=sums.jsonl \
--batch-size 8 --steps 60 --lr 0.02 -q --log OUT.log -o base/
train/sums: ${BASE} --data sums.jsonl -o math/
train/tongue: ${BASE} --data tongue.jsonl --seed 1 -o tongue/
train/lora: ${BASE} --data sums.jsonl --lora --lora-rank 4 -o adapter/
train/small: train --init small.json --tokenizer byte --data sums.jsonl --steps 4 ${STEPS} -o small/
unlearn/importance: unlearn importance base --retain target.jsonl --batch-size 8 -q -o importance.safetensors
`);

const TUNED = "merge math tongue -q --method";
const BOTH = "merge math tongue -q --base base --method";
const MERGE = table(`
merge/linear: ${TUNED} linear --weight 0.7,0.3 TO
merge/slerp: merge math --base base --method slerp --t 0,0.5,1 --set t:self_attn=0.3 -q TO
${rows("ties dare_ties della", (m) => `merge/${m}: ${BOTH} ${m} --density 0.5 --weight 0.5,0.8 --seed 3 TO`)}
${rows("breadcrumbs model_stock sce pcb principal_svd", (method) => `merge/${method}: ${BOTH} ${method} TO`)}
merge/nuslerp: ${TUNED} nuslerp --weight 0.6,0.4 --no-nuslerp-flatten TO
merge/karcher: merge base math tongue -q --method karcher TO
merge/fisher: ${TUNED} fisher --stats importance.safetensors,math --weight 1,2 TO
merge/doge: ${BOTH} doge --steps 10 TO
merge/task-arithmetic: ${BOTH} task_arithmetic --weight 0.5,1 --post lines --out-dtype float16 TO
merge/pipe: ${TUNED} linear --weight 0.7,0.3 | merge - --base base --method slerp --t 0.4 -q -o OUT/
merge/file: merge merge-linear.safetensors --base base --method slerp --t 0.4 -q -o OUT/
merge/same: cmp merge-pipe/model.safetensors merge-file/model.safetensors
merge/shards: ${TUNED} linear --dtype bfloat16 --compat-rounding --shards 3 -o OUT/
merge/shard: ${TUNED} linear --dtype bfloat16 --compat-rounding --shard 1/3 -o OUT/
merge/recipe: merge recipe.yml -q -o OUT/
merge/config: merge math tongue -q --config options.yml TO
merge/adapter: merge base+adapter math --method linear -q TO
merge/dry-run: ${BOTH} ties --dry-run --json
${rows("explain check dry-run", (what) => `text/merge --${what}: ${BOTH} ties --weight 0,1 --${what}`)}
`);

const LONG = "train base --data target.jsonl --batch-size 8 --steps 40 --save-every 2 --seed 5 -q";
const FRESH = `${STEPS} --steps 3`;
const BYTE = "--tokenizer byte --data sums.jsonl";
const TRAIN = table(`
train/whole: ${LONG} -o OUT/
train/interrupted SIGINT: ${LONG} -o OUT/
train/killed SIGKILL: ${LONG} -o OUT/
train/same: for i in interrupted killed; do cmp train-{whole,$i}/model.safetensors || exit 1; done
train/sgd: ${BASE} --data sums.jsonl --optimizer sgd --momentum 0.9 --nesterov --schedule linear --warmup 2 TO
train/adan: ${BASE} --data sums.jsonl --optimizer adan --schedule wsd --decay 2 --decay-shape sqrt --decay-all TO
train/infinite: ${BASE} --data sums.jsonl --schedule infinite --warmup 1 --cooldown 1 --anneal 1 --state-dtype bf16 TO
train/rewarm: ${BASE} --data sums.jsonl --schedule rewarm --warmup 2 --dtype bf16 --out-dtype bf16 --no-shuffle TO
train/groups: ${BASE} --data a=target.jsonl --data b=sums.jsonl --weights 0.3,0.7 --accumulate 2 --pack \
--smoothing 0.1 --z-loss 0.01 --overflow split TO
train/held-out: ${BASE} --data sums.jsonl --eval-data sums-test.jsonl --eval-every 2 --clip 1 --best OUT-best/ TO
train/frozen: ${BASE} --data target.jsonl --freeze model.embed* --recompute --max-length 48 --schedule constant TO
train/adapter: train base+adapter --data sums.jsonl --lora-continue ${FRESH} -o OUT/
train/dora: ${BASE} --data sums.jsonl --lora --lora-rank 4 --dora --lora-dropout 0.1 -o OUT/
train/pipe: merge base+adapter --method passthrough -q | train --data sums.jsonl ${FRESH} > OUT.safetensors
${rows("gpt2 qwen3 mixtral", (x) => `train/${x}: train --init ${x}.json ${BYTE} ${FRESH} TO`)}
train/mlp: train --init mlp.json --data blobs.jsonl ${FRESH} TO
train/vit: train --init vit.json --data glyphs.jsonl ${FRESH} TO
train/dry-run: ${BASE} --data sums.jsonl --dry-run --json
`);

const TEACH = `distill --data sums.jsonl --steps 4 ${STEPS}`;
const SMALL = "--teacher base --student small";
const DISTILL = table(`
distill/kd: ${TEACH} ${SMALL} --method kd --temperature 2 --label-weight 0.5 TO
distill/taid: ${TEACH} --teacher math --init small.json --tokenizer byte --method taid TO
distill/jsd: ${TEACH} ${SMALL} --method jsd --beta 0.3 --on-policy 0.5 --sample-tokens 4 TO
${rows("hidden attention", (method) => `distill/${method}: ${TEACH} ${SMALL} --method ${method} TO`)}
distill/mtard: ${TEACH} --teacher base --teacher math --student small --method mtard TO
distill/self: ${TEACH} --teacher self --student base --method lssd --lora --lora-rank 4 TO
distill/cache: distill cache --teacher base --data sums.jsonl --top 8 -q -o cache.safetensors
distill/cached: ${TEACH} --cache cache.safetensors --student small --method kd TO
distill/pipe: ${TUNED} linear | distill --student small --data sums.jsonl ${FRESH} > OUT.safetensors
`);

const FORGET = `unlearn base --forget forget.jsonl --retain retain.jsonl --max-length 96 --steps 3 ${STEPS}`;
const SSD = "unlearn base --method ssd --forget forget.jsonl --alpha 1 -q";
const UNLEARN = table(`
${rows("npo grad-diff pdu dpo rmu undial", (method) => `unlearn/${method}: ${FORGET} --method ${method} TO`)}
unlearn/sam: ${FORGET} --method npo --smooth sam --rho 0.02 --retain-loss kl TO
unlearn/wa: ${FORGET} --method simnpo --smooth wa --average-from 2 --lora --lora-rank 4 TO
unlearn/ssd: ${SSD} --retain retain.jsonl TO
unlearn/ssd-importance: ${SSD} --importance importance.safetensors TO
`);

const TRAINED = "--data sums=sums.jsonl --data tongue=tongue.jsonl";
const TWO = `${TRAINED} --eval-data sums=sums-test.jsonl --eval-data tongue=tongue-test.jsonl`;
const MIX = `curriculum base --steps 6 ${STEPS}`;
const SELECT = "curriculum select base --data target.jsonl --select-by";
const CURRICULUM = table(`
curriculum/static: ${MIX} --method static --mixture 0.3,0.7 ${TRAINED} --task-loss sample-mean TO
curriculum/aioli: ${MIX} --method aioli ${TWO} --round 3 --passes 1 --lp-steps 1 --share 0.75 TO
curriculum/again: ${MIX} ${TRAINED} --schedule-from curriculum-static.log TO
curriculum/coba: ${MIX} --method coba ${TWO} --every 2 --burn-in 2 --window 2 TO
curriculum/graph: curriculum graph base ${TWO} --graph-steps 2 ${STEPS} -o graph.json
curriculum/skill-it: ${MIX} --method skill-it --graph graph.json ${TWO} --round 3 --every 1 TO
curriculum/length: ${MIX} --method length --data target.jsonl --start-length 60 TO
curriculum/self-paced: ${MIX} --method self-paced --data sums.jsonl TO
curriculum/quality: ${MIX} --method quality --data target.jsonl --subset 0.3 --sample-weight linupper TO
${rows("lowest-loss craig", (by) => `curriculum/${by}: ${SELECT} ${by} --keep 0.2 --ranked -q -o OUT.jsonl`)}
curriculum/plan: curriculum plan --flops 1e18 --tokens 1e9 --json -q
`);

const KNOWN = "--data forget=forget.jsonl --data retain=retain.jsonl --data holdout=holdout.jsonl --json -q";
const LIKELY = "loss,accuracy,ece,perplexity,sequence-accuracy,exact-memorisation,extraction-strength";
const OF_FACTS = "truth-ratio,probability,forget-quality,privleak,mia-min-k,mia-zlib,rouge-l,model-utility";
const MEASURE = table(`
evaluate/likely: evaluate base math --data sums-test.jsonl --metric ${LIKELY} --bootstrap 50 --json -q
evaluate/facts: evaluate tongue --gold base ${KNOWN} --metric ${OF_FACTS} --max-tokens 16 --bootstrap 20 --log OUT.log
evaluate/gradnorm: evaluate base ${KNOWN} --metric mia-gradnorm --bootstrap 0
evaluate/match: evaluate math --data sums-test.jsonl --metric exact-match -q --dump OUT.safetensors --dump-top 4 --json
evaluate/classes: evaluate train-mlp.safetensors --data blobs.jsonl --metric class-accuracy,loss --json -q
evaluate/quantize: evaluate base ${KNOWN} --attack quantize --quantize 4 --metric loss,probability --bootstrap 0
evaluate/relearn: evaluate tongue ${KNOWN} --attack relearn --relearn-rows 2 --metric loss --bootstrap 0
evaluate/trace: evaluate base ${KNOWN} --probe trace --trace-rows 2 --trace-draws 1
evaluate/pass: ${TUNED} linear | evaluate --data sums-test.jsonl --pass -q -o OUT.json
text/evaluate: evaluate base math --data sums-test.jsonl -q
sample/greedy: sample base "Question: Where was" --max-tokens 16 -q
sample/drawn: sample base "12+30=" "Question:" --samples 2 -m 8 -t 0.9 --top-p 0.9 --seed 7 --json -q
sample/prompts: sample base+adapter --prompts sums-test.jsonl -m 4 -t 1 --top-k 20 --repetition-penalty 1.2 -q
inspect/json: inspect base --json -q
${rows("stats check", (what) => `inspect/${what}: inspect merge-pipe --${what} --json -q`)}
inspect/diff: inspect math --diff base --json -q
inspect/command: inspect merge-pipe --command -q
text/inspect: inspect merge-pipe --stats -q
`);

const LOGS = "train-held-out.log curriculum-coba.log evaluate-facts.log";
const REPORT = table(`
${rows("json csv md svg", (form) => `report/${form}: report ${LOGS} --${form} -q`)}
report/html: report ${LOGS} -q -o OUT.html
`);

const SCRIPTS = "merge train distill unlearn curriculum evaluate sample report inspect data doctor ingot";
const METHODS = "merge/della distill/jsd unlearn/ssd curriculum/aioli data/facts";
const TASKS = "addition blobs facts glyphs knights lego markov modular";
/** What needs no model: data, what is refused, and texts. Neither demo nor test has a row: they heed no such option. */
const TEXTS = table(`
${rows(TASKS, (task) => `data/${task}: data ${task} --size 20 && data ${task} --split test --json -o OUT.jsonl`)}
data/ingot: ingot data lego --size 3 --graph tree -q
refused/option: merge a b --method linear --wieght 1
refused/method: distill --method kdd
refused/file: train nowhere --data nothing.jsonl
${rows(SCRIPTS, (script) => `text/${script} --help: ${script} --help`)}
${rows(SCRIPTS, (script) => `text/${script} --list: ${script} --list`)}
${rows(METHODS, (both) => `text/${both}: ${both.replace("/", " --help --method ")}`)}
`);

const hash = (...pieces: readonly (string | Uint8Array)[]): string =>
  pieces.reduce((sum, piece) => sum.update(piece), new Bun.CryptoHasher("sha256")).digest("hex");

/** The digest of tensors by name, whatever their order and metadata; nothing if the bytes are no safetensors. */
function tensorsDigest(bytes: Buffer): string | undefined {
  const start = bytes.length > 9 && bytes[8] === 0x7b ? 8 + Number(bytes.readBigUInt64LE()) : bytes.length + 1;
  if (start > bytes.length) return undefined;
  const { __metadata__: _, ...header } = JSON.parse(bytes.toString("utf8", 8, start));
  const names = Object.keys(header).sort();
  const pieces = names.flatMap((name) => {
    const { dtype, shape, data_offsets: range } = header[name];
    return [JSON.stringify([name, dtype, shape]), bytes.subarray(start + range[0], start + range[1])];
  });
  return hash(...pieces);
}

/** The text with 0 for what varies. */
const normalised = (text: string): string => VARYING.reduce((left, [what, by]) => left.replaceAll(what, by), text);

function digest(bytes: Buffer): Part {
  const tensors = tensorsDigest(bytes);
  if (tensors !== undefined) return [hash(bytes), tensors];
  const text = bytes.toString("utf8");
  return [hash(Buffer.from(text).equals(bytes) ? normalised(text) : bytes)];
}

/** Files that the line names as outputs and that are there, and those in folders that it names so. */
function outputsOf(line: string, folder: string): string[] {
  const named = [...line.matchAll(/ (?:-o|--log|--dump|--best|>) (\S+)/g)].map(([, name]) => name!);
  const found = named.flatMap((name) => {
    const inside = statSync(join(folder, name), { throwIfNoEntry: false })?.isDirectory();
    const files = inside ? readdirSync(join(folder, name), { recursive: true, encoding: "utf8" }) : [""];
    return files.map((file) => join(name, file));
  });
  return found.filter((file) => statSync(join(folder, file), { throwIfNoEntry: false })?.isFile());
}

const { PATH, HOME, VK_DRIVER_FILES, INGOT_DRIVER } = process.env;
const ENV = { PATH, HOME, VK_DRIVER_FILES, INGOT_DRIVER, TZ: "UTC", INGOT_NO_FSYNC: "1", SOURCE_DATE_EPOCH: "1" };
/** Starts a line of bash in the folder. */
const start = (line: string, folder: string) =>
  Bun.spawn(["bash", "-c", line], { cwd: folder, env: ENV, stdin: "ignore", stdout: "pipe", stderr: "pipe" });

/** Runs a line until its fifth step is in the log, breaks it off there, and gives its exit code. */
async function breakOff({ line, signal }: Line, repo: string, folder: string): Promise<number> {
  const log = `${signal}.log`;
  const child = start(line.replace(/\w+/, `exec '${process.execPath}' '${repo}/scripts/$&.ts' --log ${log}`), folder);
  const steps = () => (existsSync(join(folder, log)) ? readFileSync(join(folder, log), "utf8") : "");
  while (child.exitCode === null && !steps().includes('"step":5,')) await Bun.sleep(2);
  child.kill(signal as NodeJS.Signals);
  return child.exited;
}

/** Runs a line. Its logs are normalised in their place, so that reports of them do not vary. */
async function run(line: Line, repo: string, folder: string): Promise<Result> {
  const first = line.signal ? `${await breakOff(line, repo, folder)}, resumed ` : "";
  const script = (name: string) => `${name}() { '${process.execPath}' '${repo}/scripts/${name}.ts' "$@"; }`;
  const resume = line.signal ? " --resume" : "";
  const child = start(`set -o pipefail\n${rows(SCRIPTS, script)}\n${line.line}${resume}`, folder);
  const [out, err, code] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
  if (code !== 0 && !/^(refused|text)/.test(line.label)) console.error(`${line.label}: exit code ${code}\n${err}`);
  const parts: Record<string, Part> = { stdout: digest(Buffer.from(out)) };
  for (const name of outputsOf(line.line, folder)) {
    const bytes = readFileSync(join(folder, name));
    if (name.endsWith(".log")) writeFileSync(join(folder, name), normalised(bytes.toString()));
    parts[name] = digest(bytes);
  }
  return { code: first + code, parts };
}

const STAGES = [[SETUP], [TRAIN, MERGE, UNLEARN, CURRICULUM, DISTILL, TEXTS], MEASURE.map((line) => [line]), [REPORT]];
/** Runs all lines: stages one after the other, two tables of a stage at a time. */
async function measure(repo: string, keep: boolean): Promise<Results> {
  const folder = mkdtempSync(join(tmpdir(), "ingot-digests-"));
  for (const [name, content] of Object.entries(FILES))
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  const results: Results = {};
  for (const stage of STAGES) {
    const left = [...stage];
    const work = async () => {
      for (let lines = left.shift(); lines; lines = left.shift())
        for (const line of lines) results[line.label] = await run(line, repo, folder);
    };
    await Promise.all([work(), work()]);
  }
  if (keep) console.log(`outputs: ${folder}`);
  else rmSync(folder, { recursive: true });
  return results;
}

/** In which parts two results differ. */
function differences(before: Result | undefined, after: Result | undefined): string[] {
  if (!before || !after) return [`only in the ${before ? "first" : "second"}`];
  const code = before.code === after.code ? [] : [`exit code (${before.code} before, ${after.code} after)`];
  const parts = Object.keys({ ...before.parts, ...after.parts }).flatMap((name) => {
    const [a, b] = [before.parts[name], after.parts[name]];
    if (!a || !b) return [`${name} (only in the ${a ? "first" : "second"})`];
    if (a[0] === b[0]) return [];
    return [a[1] !== undefined && a[1] === b[1] ? `${name} (tensors equal, header differs)` : name];
  });
  return [...code, ...parts];
}

/** Prints which of these labels differ and in what; gives their number. */
function compare(group: string, labels: readonly string[], before: Results, after: Results): number {
  const found = labels.map((label) => ({ label, parts: differences(before[label], after[label]) }));
  const differing = found.filter(({ parts }) => parts.length > 0);
  for (const { label, parts } of differing) console.log(`${label}: ${parts.join(", ")}`);
  console.log(`${group}: ${labels.length - differing.length} of ${labels.length} equal`);
  return differing.length;
}

const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean", default: false } as const;
const options = { repo: TEXT, out: { ...TEXT, short: "o" }, keep: FLAG, compare: FLAG } as const;
const { values, positionals } = parseArgs({ allowPositionals: true, options });
if (values.compare && positionals.length === 2) {
  const [before, after] = positionals.map((file): Results => JSON.parse(readFileSync(file, "utf8")));
  const labels = Object.keys({ ...before, ...after }).sort();
  const texts = labels.filter((label) => label.startsWith("text/"));
  const others = labels.filter((label) => !texts.includes(label));
  compare("texts", texts, before!, after!);
  process.exitCode = compare("results", others, before!, after!) > 0 ? 1 : 0;
} else if (!values.compare && values.out !== undefined && positionals.length === 0) {
  const results = await measure(resolve(values.repo ?? join(import.meta.dir, "../..")), values.keep);
  writeFileSync(values.out, `${JSON.stringify(results, null, 1)}\n`);
  console.log(`${Object.keys(results).length} labels in ${(performance.now() / 1000).toFixed(0)} s`);
} else {
  throw new Error("usage: bun digests.ts [--repo DIR] [--keep] -o FILE.json, or --compare A.json B.json");
}
