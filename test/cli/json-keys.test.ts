/** Results for machines have keys in snake_case, whatever script and sub-command gives them. */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withSnakeKeys } from "../../src/json.ts";
import { methodNames } from "../../src/method/registry.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { trainLab } from "./train-lab.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();

/** Hold names that others gave: of options, in config.json, of dtypes, packages, variables and limits of WebGPU. */
const OPEN = ["options", "config", "lineage", "dtypes", "versions", "environment", "limits"];
/** Methods are keys where a result is a number of each; a group's number stands behind a point: `loss.maths`. */
const NAMES = new Set(methodNames("metric"));

/** Every key of a value of JSON, but those below `OPEN`. */
function keysOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(keysOf);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...(OPEN.includes(key) ? [] : keysOf(inner))]);
}

const oddKeys = (values: readonly unknown[]): string[] =>
  values.flatMap(keysOf).filter((key) => /[A-Z-]/.test(key) && !NAMES.has(key));

const GROUPS = "--data a=ids.jsonl --data b=more.jsonl --eval-data a=ids.jsonl --eval-data b=more.jsonl --batch-size 2";
const FEW = "--batch-size 2 --steps 1 --save-every 0";

/** Command lines; what makes a file that another reads comes first. */
const LINES = [
  `train --init tiny.json --tokenizer byte --data said.jsonl --eval-data said.jsonl ${FEW} --log run.log -o tiny/`,
  `train tiny/ --data said.jsonl ${FEW} -n`,
  `train tiny/ --data said.jsonl --lora --eval-split 0.5 ${FEW} -o adapter/`,
  `distill --teacher tiny/ --student tiny/ --label-weight 1 --data said.jsonl ${FEW} -o student/`,
  `distill --teacher tiny/ --student tiny/ --label-weight 1 --data said.jsonl ${FEW} -n`,
  "distill cache --teacher tiny/ --data said.jsonl -o cache.safetensors",
  "distill cache --teacher tiny/ --data said.jsonl -n",
  "distill fedd2s --init chooser.json --data a=decided.jsonl --rounds 1 --round-steps 1 -o clients/",
  "distill fedd2s --init chooser.json --data a=decided.jsonl -n -o clients/",
  "distill label clients/a/ --data decided.jsonl",
  "distill label clients/a/ --data decided.jsonl -n",
  "distill self-specialize tiny/ --seeds said.jsonl --size 1 --attempts 2 -n",
  "data plain said.jsonl preferred.jsonl -o plain.jsonl",
  "distill data --init chooser.json --data decided.jsonl --per-class 1 --experts 1 --expert-epochs 2 --start-epochs 1 --steps 1 -o few.jsonl",
  "distill data --init chooser.json --data decided.jsonl -n",
  `align tiny/ --data preferred.jsonl ${FEW} -o aligned/`,
  `align tiny/ --data preferred.jsonl ${FEW} -n`,
  "data bandit --size 40 -q -o arms.jsonl",
  "align control --data arms.jsonl --environment bandit --family --steps 2 --online 2 -o policy.safetensors",
  "align control --data arms.jsonl --environment bandit --steps 2 -o planned.safetensors -n",
  "align meta --generations 1 --pairs 1 --lives 1 --test-lives 2 -o schedule.safetensors",
  "align meta -n",
  `train --init chooser.json --data decided.jsonl ${FEW} -o chooser/`,
  "distill domains --teacher chooser/ --teacher chooser/ --student chooser/ --data a=decided.jsonl --data b=decided.jsonl --heads 2 --support 2 --aggregator-steps 1 --steps 1 --aggregator sums.safetensors -o stepping/",
  "train align-spaces --data vectors.jsonl --steps 2 -n",
  "train align-spaces --data vectors.jsonl --steps 2 -o connector.safetensors",
  "train reservoir --data waves.jsonl --units 5 --washout 2 -o reservoir.safetensors",
  "train reservoir --data waves.jsonl --washout 2 -n",
  "train boost --init sigmoids.json --data decided.jsonl --iterations 2 -o boosted/",
  "train boost --init sigmoids.json --data decided.jsonl -n",
  "train zo-byte chooser/ --data decided.jsonl --steps 2 --samples 2 --codes steps.safetensors -o looked/",
  "train zo-byte chooser/ --data decided.jsonl --steps 2 -n",
  "train replay chooser/ --codes steps.safetensors -o again/",
  "train replay chooser/ --codes steps.safetensors -n",
  "train stragglers --workers 3 --jobs 4",
  "train analytic chooser/ --data decided.jsonl -o fitted/",
  "train analytic chooser/ --data decided.jsonl -n",
  "unlearn attribute chooser/ --data decided.jsonl --models 2 --epochs 1 -o effects.safetensors",
  "unlearn attribute chooser/ --data decided.jsonl -n",
  "unlearn dm-direct effects.safetensors --forget decided.jsonl --data decided.jsonl -n",
  "evaluate klom --unlearned chooser/ --unlearned chooser/ --retrained chooser/ --retrained chooser/ --again chooser/ --data decided.jsonl",
  "train s3t tiny/ --data said.jsonl --slices 2 --epochs 1 --batch-size 2 -o bank/",
  "train s3t tiny/ --data said.jsonl --slices 2 -n",
  "unlearn s3t bank/ --forget said.jsonl -o spent/",
  "unlearn s3t bank/ --forget said.jsonl -n",
  `train --init denoiser.json --data decided.jsonl --loss denoise ${FEW} -o denoiser/`,
  "sample vectors denoiser/ --count 1 --steps 1 -o drawn.jsonl",
  "sample vectors denoiser/ -n",
  "serve tiny/ --port 0 --for 0.05",
  "sample refine tiny/ drafts.jsonl -o refined.jsonl",
  "sample refine tiny/ drafts.jsonl -n",
  "serve tiny/ -n",
  "sweep train --lr 1e-3,1e-2 --metric loss --fixed=--init --fixed=tiny.json --fixed=--tokenizer --fixed=byte --fixed=--data --fixed=said.jsonl --fixed=--steps --fixed=1 -o swept",
  "sweep train --lr 1e-3,1e-2 --metric loss --fixed=--init --fixed=tiny.json --fixed=--tokenizer --fixed=byte --fixed=--data --fixed=said.jsonl --fixed=--steps --fixed=1 -o swept -n",
  "adapt nct denoiser/ --classifier chooser/ --steps 1 --batch-size 2 -o controlled/",
  "adapt nct denoiser/ --classifier chooser/ -n",
  "unlearn fitted/ --method analytic --forget decided.jsonl -o emptied/",
  "train stages stages.json --init chooser.json --cache below -o staged/",
  "train stages stages.json chooser -n",
  "align estimate chooser --data decided.jsonl",
  "align estimate chooser --data decided.jsonl -n",
  "align score answers.jsonl --reward exact",
  "data shop --size 4 -o shop.jsonl",
  "align label shop.jsonl --field completion --hindsight partial --to rewards -o seen.jsonl",
  "data errands --size 2 -o errands.jsonl",
  "align plan tiny/ --data errands.jsonl --attempts 1 --turns 1 --max-new-tokens 2 -o plans.jsonl",
  "align plan tiny/ --data errands.jsonl -n",
  `align tune-thresholds tiny/ --method grpo --data said.jsonl --reward regex:. --gold 0.5*length --reward-weights constrained --thresholds 0.5 --kl 0.1 --kl-in reward --threshold-patience 1 --threshold-window 1 --group 2 --max-new-tokens 2 ${FEW} -o tuned/`,
  "align filter tiny/ --data said.jsonl --reward regex:. --attempts 2 --max-new-tokens 4 -o solvable.jsonl",
  "align filter tiny/ --data said.jsonl --reward regex:. --max-new-tokens 4 -n",
  "align best-of tiny/ --data said.jsonl --reward regex:. --answers 2 --max-new-tokens 2 -o best.jsonl",
  "align prepare-steps tiny/ --data said.jsonl --reward regex:[a-k] --max-new-tokens 2 -o steps.jsonl",
  "align prepare-steps tiny/ --data said.jsonl --reward regex:. --max-new-tokens 4 -n",
  "align prepare outcomes.jsonl --folds 1 -o rewards.jsonl",
  `unlearn tiny/ --forget ids.jsonl --retain more.jsonl --method npo ${FEW} -o unlearned/`,
  `unlearn tiny/ --forget ids.jsonl --retain more.jsonl --method npo ${FEW} -n`,
  "unlearn tiny/ --forget ids.jsonl --retain more.jsonl --method ssd -o edited/",
  "unlearn tiny/ --forget ids.jsonl --retain more.jsonl --method ssd -n",
  "unlearn prepare-pd tiny/ --data said.jsonl --max-tokens 2 -o pd.jsonl",
  "unlearn prepare-pd tiny/ --data said.jsonl -n",
  "unlearn requests tiny/ --request said.jsonl --by grad-ascent -o streamed/ -n",
  "unlearn importance tiny/ --retain more.jsonl -n -o importance.safetensors",
  "unlearn importance tiny/ --retain more.jsonl -o importance.safetensors",
  `curriculum tiny/ ${GROUPS} --steps 1 --save-every 0 --log mixed.log -o mixed/`,
  `curriculum tiny/ ${GROUPS} --steps 1 -n`,
  `curriculum graph tiny/ ${GROUPS} --graph-steps 1`,
  `curriculum graph tiny/ ${GROUPS} --graph-steps 1 -n`,
  `curriculum balance tiny/ ${GROUPS} --mini 0.5`,
  `curriculum balance tiny/ ${GROUPS} --mini 0.5 -n`,
  `curriculum mixture-search tiny/ ${GROUPS} --part-steps 1 -n`,
  `curriculum regmix tiny/ ${GROUPS} --mixture-steps 1 -n`,
  "curriculum correlate measured.json --scores measured.json --score-metric accuracy -o mixed.json",
  "curriculum correlate measured.json --scores measured.json --score-metric accuracy -n",
  "curriculum select tiny/ --data said.jsonl -o chosen.jsonl",
  "curriculum select tiny/ --data said.jsonl -n",
  "curriculum weights --data decided.jsonl --pool decided.jsonl -o weighed.jsonl",
  "curriculum weights --data decided.jsonl --pool decided.jsonl -n",
  "curriculum plan --flops 1e18 --tokens 1e9",
  `curriculum mix-agent collect tiny/ ${GROUPS} --trajectories 2 --rounds 2 --round-steps 1 -n`,
  `curriculum mix-agent collect tiny/ ${GROUPS} --trajectories 2 --rounds 2 --round-steps 1 -o tried.jsonl`,
  "curriculum mix-agent fit tried.jsonl --clone-steps 1 --agent-steps 1 -o agent.json",
  "curriculum query fit --items 2 --asks 2 --difficulties 2 --query-steps 1 --particles 2 --games 2 -n",
  "curriculum query fit --items 2 --asks 2 --difficulties 2 --query-steps 1 --particles 2 --games 2 -o asking.safetensors",
  "curriculum query next asking.safetensors --names a,b -o next.json",
  "curriculum query test asking.safetensors --items 2 --difficulties 2 --query-steps 1 --particles 2 --games 2 -o asked.json",
  "curriculum query test asking.safetensors --items 2 --difficulties 2 -n",
  "curriculum score tiny/ --data said.jsonl -n",
  "curriculum score tiny/ --data said.jsonl -o scored.jsonl",
  "curriculum stages stages.yml -n",
  "curriculum preset accuracy-then-length tiny/ --sft said.jsonl --test said.jsonl -o shorter.sh",
  "merge tiny tiny --method linear -o merged/",
  "merge tiny tiny --method linear --check",
  "merge tiny tiny --method linear --explain",
  "merge tiny tiny --method linear -n",
  "merge tiny tiny --method linear --search random --budget 2 --data said.jsonl -n",
  "merge tiny tiny --method linear --search random --budget 2 --data said.jsonl --recipes best.yml",
  "merge moe tiny --experts 2 --gate-mode random -o mixture/",
  "merge moe tiny --experts 2 --gate-mode random -n",
  "merge msmoe mixture --calib said.jsonl --groups 1 -o fewer/",
  "merge dense mixture -o dense/",
  "compress experts mixture --keep 1 --calibration said.jsonl -n",
  "compress experts mixture --keep 1 --calibration said.jsonl -o lone/",
  "merge trim tiny --data said.jsonl -o trimmed/",
  "merge transplant tiny tiny -o transplanted/",
  "merge regmean++ tiny tiny --data said.jsonl --data said.jsonl -o regmean/",
  "adapt extract edited --base tiny --rank 2 -o taken/",
  "adapt extract edited --base tiny --rank 2 -n",
  "adapt combine adapter adapter --method linear -o combined/",
  "adapt combine adapter adapter --method linear -n",
  "adapt resize adapter --rank 1 -o resized/",
  "adapt resize adapter --rank 1 -n",
  `train tiny/ --data said.jsonl --adapter mora ${FEW} -o ranks/`,
  "adapt flatten ranks -o flat/",
  "adapt flatten ranks -n",
  `train tiny/ --data said.jsonl --lora ${FEW} -o snapshots/a/one/`,
  `train tiny/ --data ids.jsonl --lora ${FEW} -o snapshots/b/one/`,
  "adapt fuse tiny --adapters snapshots --data a=said.jsonl --data b=ids.jsonl --steps 1 --meta-steps 1 -o fused/",
  "adapt fuse tiny --adapters snapshots --data a=said.jsonl --data b=ids.jsonl -n",
  "adapt gain tiny --data said.jsonl --reference ids.jsonl -o gained/",
  "adapt gain tiny --data said.jsonl --reference ids.jsonl -n",
  "adapt assign said.jsonl -o book.json",
  "data environments --size 40 --rows 10 -o places.jsonl",
  "adapt select places.jsonl --test places.jsonl -o selector.json",
  "adapt stream chooser --data decided.jsonl --method source -o streamed/",
  "adapt stream chooser --data decided.jsonl --method source -n",
  "evaluate stream chooser --data decided.jsonl --test-time source --stream continual --range 0,5",
  "evaluate stream chooser --data decided.jsonl --test-time source --range 0,5 -n",
  "evaluate benchmark tiny --suite wmdp --files .",
  "evaluate benchmark tiny --suite wmdp --files . -n",
  "evaluate planted tiny --plant planted.jsonl --shuffles 9",
  "evaluate planted tiny --plant planted.jsonl -n",
  "evaluate interactions tiny --plant planted.jsonl --data said.jsonl --steps 1 --seeds 2",
  "evaluate interactions tiny --plant planted.jsonl --data said.jsonl -n",
  `adapt tiny --tasks said.jsonl,ids.jsonl ${FEW} -o learned/`,
  `adapt tiny --tasks said.jsonl,ids.jsonl ${FEW} -n`,
  "evaluate permutation --k 3 --models 2",
  "merge layershuffle tiny tiny -o shuffled/",
  "merge layershuffle tiny tiny -n",
  "inspect tiny --stats",
  "inspect tiny --check",
  "inspect tiny --diff tiny",
  "inspect tiny -n",
  "inspect tiny --command",
  "evaluate tiny --data forget=said.jsonl --data holdout=ids.jsonl --metric loss,mia-loss --log eval.log",
  "evaluate tiny --data said.jsonl -n",
  "evaluate tiny --data said.jsonl --probe fau",
  "evaluate tiny --data shop.jsonl --probe hindsight-gap --hindsight-gap-tokens 2",
  "evaluate tiny --data forget=said.jsonl --attack quantize",
  "evaluate tiny --data forget=said.jsonl --attack quantize --quantize-format nf4",
  "evaluate tiny --data forget=said.jsonl --attack relearn --relearn-rows 1",
  "evaluate tiny --data forget=said.jsonl --probe trace",
  "evaluate tiny --gold tiny --data forget=said.jsonl --probe revive --revive-goal 1 --revive-steps 1",
  "evaluate imatrix tiny --data said.jsonl -n -o important.gguf",
  "evaluate imatrix tiny --data said.jsonl -o important.gguf",
  "evaluate tiny --data said.jsonl --probe fisher",
  "evaluate tiny --data said.jsonl --data ids.jsonl --probe continual --continual-held said",
  "evaluate tiny --data said.jsonl --probe conflict_synergy --joint tiny",
  "compress tiny --quant rtn -n -o small.safetensors",
  "compress factor tiny --method svd --rank 2 -n",
  "compress factor tiny --method svd --rank 2 -o thin.safetensors",
  "compress extract tiny --depth 1 -o first.safetensors",
  "compress depth tiny --layers 0 -n",
  "compress depth tiny --layers 0 -o shallow.safetensors",
  "train route-search tiny --data said.jsonl --rounds 1 -n",
  "train routers tiny --data ways.jsonl --epochs 1 --warmup 0 -n",
  "train routers tiny --data ways.jsonl --epochs 1 --warmup 0 -o routers.safetensors",
  "evaluate routers tiny --routers routers.safetensors --data said.jsonl -n",
  "evaluate routers tiny --routers routers.safetensors --data said.jsonl",
  `train --init deep.json --data decided.jsonl ${FEW} -o deep/`,
  "train exits deep --data decided.jsonl --eval-data decided.jsonl --at 1 --epochs 1 -n",
  "train exits deep --data decided.jsonl --eval-data decided.jsonl --at 1 --epochs 1 -o exits.safetensors",
  "evaluate exits deep --exits exits.safetensors --data decided.jsonl -n",
  "evaluate exits deep --exits exits.safetensors --data decided.jsonl",
  "compress search tiny --budget 3bits -n",
  "compress search tiny --budget 3bits --bits 2,4 -o bits.json",
  "compress upcycle tiny -n",
  "compress upcycle tiny --experts 2 -o mixture.safetensors",
  "compress rotate tiny -n",
  "compress rotate tiny -o turned.safetensors",
  "compress width tiny --neurons 0.5 -n",
  "compress width tiny --neurons 0.5 -o narrow.safetensors",
  "compress tiny --quant rtn --calibration said.jsonl -o small.safetensors",
  "evaluate gram tiny --data said.jsonl -n -o gram.safetensors",
  "evaluate gram tiny --data said.jsonl -o gram.safetensors",
  "evaluate permutation --k 2 --models 2 --width 512",
  "evaluate permutation --k 2 -n",
  "evaluate gen-dynamics --inputs 10 --draws 1 --times 1",
  "evaluate gen-dynamics -n",
  "evaluate moe-cost --width 4 --hidden 4 --sizes 2,4 --repeats 1",
  "evaluate moe-cost -n",
  `train tiny/ --data said.jsonl ${FEW} --lr 1e-2 --log fast.log -o fast/`,
  "evaluate lr-sensitivity run.log fast.log",
  "evaluate tiny --data said.jsonl --probe variance-growth",
  "evaluate tiny --data said.jsonl --probe number-format --number-format-names int8",
  "evaluate tiny --data said.jsonl --probe prune-regime --prune-regime-densities 0.5 --prune-regime-points 3",
  "evaluate tiny --data said.jsonl --probe kernel-alignment --kernel-alignment-columns 2",
  `adapt tiny --tasks said.jsonl,ids.jsonl ${FEW} --log stream.log -o learned-twice/`,
  "evaluate two-phase --tune stream.log",
  "evaluate shift chooser --data decided.jsonl --corruption gaussian-noise --bootstrap 4",
  "evaluate shift chooser --data decided.jsonl -n",
  "evaluate swiss scores.jsonl --runs 4",
  "evaluate swiss scores.jsonl -n",
  "evaluate lifelong life.jsonl",
  "evaluate lifelong life.jsonl -n",
  "sample tiny --prompt ab --max-tokens 2",
  "sample tiny --prompt ab -n",
  "report run.log mixed.log",
  "report run.log --md -o report.md",
  "report run.log -n",
  "data addition --size 3 -o sums.jsonl",
  "data facts --size 3 -n",
  "data augment said.jsonl --field prompt -o augmented.jsonl",
  "data corrupt said.jsonl --corruption word-dropout --field prompt -o corrupted.jsonl",
  "data decontaminate said.jsonl --against said.jsonl -o clean.jsonl",
  "data dedupe said.jsonl -o once.jsonl",
  "data gpicl decided.jsonl --size 2 -o tasks.jsonl",
  "data numeric rated.jsonl -o asked.jsonl",
  "data demos said.jsonl --demo-count 1 -o demos.jsonl",
  "data metadata said.jsonl --constant x -o about.jsonl",
  "data shift-labels decided.jsonl --every 2 --classes 2 -o turned.jsonl",
  "data show said.jsonl --tokenizer tiny",
  "new merge one-more-way -n",
  "doctor",
];

beforeAll(() => {
  writeFileSync(at("tiny.json"), JSON.stringify({ ...TINY_TEXT.llama, vocab_size: 264, hidden_size: 12, head_dim: 4 }));
  const lines = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const numbers = Array.from({ length: 6 }, (_, i) => i);
  writeFileSync(at("said.jsonl"), lines(numbers.map((i) => ({ prompt: `is ${i}`, completion: ` ${i}` }))));
  writeFileSync(
    at("chooser.json"),
    JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 2 }),
  );
  const deep = { model_type: "mlp", input_size: 2, hidden_sizes: [4, 4], num_labels: 2 };
  writeFileSync(
    at("denoiser.json"),
    JSON.stringify({ model_type: "denoiser", input_size: 2, hidden_size: 4, num_hidden_layers: 1, num_labels: 2 }),
  );
  writeFileSync(at("deep.json"), JSON.stringify(deep));
  const ways = numbers.map((i) => ({ prompt: `is ${i}`, completion: ` ${i}`, layer_turns: [1, i % 3] }));
  writeFileSync(at("ways.jsonl"), lines(ways));
  const sigmoids = { model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 2, hidden_act: "sigmoid" };
  writeFileSync(at("sigmoids.json"), JSON.stringify(sigmoids));
  const stages = [
    { train: "layers.*", data: "decided.jsonl" },
    { train: ["classifier.*"], data: ["decided.jsonl"] },
  ];
  writeFileSync(at("stages.json"), JSON.stringify(stages));
  const measured = numbers.flatMap((i) => [
    { model: `m${i}`, group: "a", metric: "loss", value: 3 - i, better: "lower" },
    { model: `m${i}`, group: "b", metric: "loss", value: i, better: "lower" },
    { model: `m${i}`, group: "a", metric: "accuracy", value: i / 9, better: "higher" },
  ]);
  writeFileSync(at("measured.json"), JSON.stringify({ rows: measured }));
  const decided = numbers.map((i) => ({ x: [i, 1], label: i % 2, propensity: 0.5, reward: i }));
  writeFileSync(at("decided.jsonl"), lines(decided));
  writeFileSync(at("drafts.jsonl"), lines([{ prompt: "is", text: " so" }]));
  writeFileSync(at("rated.jsonl"), lines([{ text: "a", value: 1 }]));
  const score = (model: string, value: number) => ({ model, group: "g", metric: "accuracy", better: "higher", value });
  writeFileSync(at("scores.jsonl"), lines([score("a", 0.5), score("b", 1)]));
  writeFileSync(at("waves.jsonl"), lines(Array.from({ length: 40 }, (_, i) => ({ u: [i % 3], y: [i % 2] }))));
  writeFileSync(at("vectors.jsonl"), lines(Array.from({ length: 6 }, (_, i) => ({ a: [i, 1], b: [1, -i] }))));
  const planted = ["one", "two"].map((name) => ({ name, rows: "said.jsonl", control: "ids.jsonl" }));
  writeFileSync(at("planted.jsonl"), lines(planted));
  writeFileSync(at("bio.jsonl"), lines([{ question: "a", choices: ["b", "c"], answer: 0 }]));
  const answers = numbers.map((i) => ({ prompt: `${i}`, answer: `${i}`, completion: `${i}` }));
  writeFileSync(at("answers.jsonl"), lines(answers));
  writeFileSync(at("outcomes.jsonl"), lines(numbers.map((i) => ({ completion: `a ${i}`, reward: i }))));
  writeFileSync(
    at("preferred.jsonl"),
    lines(numbers.map((i) => ({ prompt: `is ${i}`, chosen: ` ${i}`, rejected: ` ${i + 1}` }))),
  );
  writeFileSync(at("stages.yml"), "stages:\n  - {name: sums, run: data addition}\n");
  writeFileSync(at("ids.jsonl"), lines(numbers.map((i) => ({ input_ids: [i, 7, 8, 9] }))));
  const tests = [0.1, 0.2].map((performance, i) => ({ block: 2 * i, type: "test", task: "b", performance }));
  writeFileSync(at("life.jsonl"), lines([...tests, { block: 1, type: "train", task: "a", performance: 1 }]));
  writeFileSync(at("more.jsonl"), lines(numbers.map((i) => ({ input_ids: [9, 8, 7, i] }))));
});

test.each(LINES)("%s", async (line) => {
  const [script, ...argv] = line.split(" ");
  const { text, err } = await run(script!, [...argv, "--json"]);
  expect(err).not.toMatch(/^ {2}hint:/m);
  // One value, or one a line.
  const values = /^[[{][^\n]*\n[[{]/.test(text) ? text.trim().split("\n") : [text];
  const found = values.map((value) => JSON.parse(value));
  expect(found.flatMap(keysOf).length).toBeGreaterThan(0);
  expect(oddKeys(found)).toEqual([]);
});

test("every script and sub-command with --json is among them", async () => {
  const folder = join(import.meta.dir, "../../scripts");
  // These have no results for machines.
  const others = ["ingot", "test", "demo", "web"];
  const scripts = readdirSync(folder).map((file) => file.replace(/\.ts$/, ""));
  for (const script of scripts.filter((name) => !others.includes(name))) {
    expect([script, LINES.some((line) => line.startsWith(script))]).toEqual([script, true]);
    const [, commands = ""] =
      /\n {2}commands: \{\n([\s\S]*?)\n {2}\},?\n/.exec(readFileSync(join(folder, `${script}.ts`), "utf8")) ?? [];
    for (const [, command] of commands.matchAll(/^ {4}"?([\w-]+)"?: command/gm))
      expect([script, command, LINES.some((line) => line.startsWith(`${script} ${command}`))]).toEqual([
        script,
        command!,
        true,
      ]);
  }
});

describe("keys in snake_case", () => {
  test("of a value and of all below it; names that others gave stay", () => {
    const value = { trainTokens: 1, list: [{ maxLength: { aB: null } }], limits: { maxSize: 3 }, done: true };
    expect(withSnakeKeys(value, ["limits"])).toEqual({
      train_tokens: 1,
      list: [{ max_length: { a_b: null } }],
      limits: { maxSize: 3 },
      done: true,
    });
  });
});
