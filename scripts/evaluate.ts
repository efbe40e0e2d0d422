#!/usr/bin/env bun
/**
 * Measure models on data.
 *
 *   bun run evaluate model/ --data rows.jsonl
 *   bun run evaluate before/ after/ --data rows.jsonl --metric loss,exact-match
 */
import { command, script } from "../src/cli/script.ts";
import { BENCHMARK } from "../src/evaluate/benchmarks/options.ts";
import { TASK_NOTES } from "../src/evaluate/harness/metrics.ts";
import { KLOM } from "../src/evaluate/klom-options.ts";
import { MOE_COST } from "../src/evaluate/moe-cost/options.ts";
import {
  EVALUATE,
  EXITS,
  GEN_DYNAMICS,
  GRAM,
  IMATRIX,
  LIFELONG,
  LR_SENSITIVITY,
  PERMUTATION,
  ROUTERS,
  TEST_STREAM,
  TWO_PHASE,
} from "../src/evaluate/options.ts";
import { INTERACTIONS, PLANTED } from "../src/evaluate/planting-options.ts";
import { SHIFT } from "../src/evaluate/shift/options.ts";
import { SWISS } from "../src/evaluate/swiss/options.ts";

await script({
  name: "evaluate",
  about: "Measure models on data.",
  args: "[...models]",
  examples: [
    "bun run evaluate model/ --data rows.jsonl",
    "bun run evaluate before/ after/ --data math=m.jsonl --data code=c.jsonl --metric loss,exact-match",
    "bun run evaluate a/ b/ --data rows.jsonl --metric loss,accuracy -o table.tex",
    "bun run evaluate model/ --data rows.jsonl --metric loss --dump logits.safetensors --json",
    "bun run evaluate unlearned/ --gold retrained/ --data forget.jsonl --data holdout.jsonl --metric forget-quality,privleak",
    "bun run evaluate unlearned/ --gold retrained/ --data forget.jsonl --attack relearn --relearn-rows 2,4,8",
    "bun run evaluate unlearned/ --gold retrained/ --original before/ --data forget.jsonl --probe revive --revive-steps 10",
    "bun run evaluate model/ --data forget.jsonl --probe trace",
    "bun run evaluate imatrix model/ --data rows.jsonl -o imatrix.gguf",
    "bun run evaluate model/ --data rows.jsonl --probe fisher --fisher-save model.fisher.safetensors",
    "bun run evaluate gram model/ --data rows.jsonl -o model.gram.safetensors",
    "bun run merge a/ b/ --method linear | bun run evaluate --data rows.jsonl --pass > merged.safetensors",
  ],
  output: ({ pass }) => (pass ? "checkpoint" : "text"),
  methods: "decoder",
  options: EVALUATE,
  essentials: ["data", "metric", "gold", "attack", "probe", "batch_size", "max_tokens"],
  commands: {
    klom: command({
      about: "Compare the margins of unlearned classifiers with those of retrained ones, over several models of each.",
      examples: [
        "bun run evaluate klom --unlearned matched/ --unlearned plain/ --retrained never-saw/ --retrained hardened/ --again plain/ --again hardened/ --data unwanted.jsonl",
      ],
      output: "none",
      options: KLOM,
      notes: `KLoM of a point is the KL divergence of the histogram of unlearned models' margins from that of retrained ones; 0 is perfect, and
11.5 about the most. The floor is that of retrained models among themselves: no method is expected below it. Few models make it large.`,
      run: async (context) => (await import("../src/evaluate/commands/klom.ts")).evaluateKlom(context),
    }),
    permutation: command({
      about: "Have wide networks learn a permutation of bits, and tell all inputs by the mean of their outputs.",
      examples: [
        "bun run evaluate permutation --k 4 --models 8 --width 2048",
        "bun run evaluate permutation --k 4 --models 4 --width 512 --json",
      ],
      output: "none",
      options: PERMUTATION,
      run: async (context) => (await import("../src/evaluate/commands/permutation.ts")).permutation(context),
    }),
    "lr-sensitivity": command({
      about: "Tell how much trainings lose where the learning rate is not the best one, from the logs of a sweep.",
      args: "<log> [...logs]",
      examples: [
        "bun run evaluate lr-sensitivity low.log mid.log high.log",
        "bun run evaluate lr-sensitivity low.log mid.log high.log --json",
      ],
      output: "text",
      options: LR_SENSITIVITY,
      run: async (context) => (await import("../src/evaluate/commands/lr-sensitivity.ts")).lrSensitivity(context),
    }),
    "gen-dynamics": command({
      about: "Tell how the test error of a linear model falls and rises as it learns, in theory and as it is measured.",
      examples: [
        "bun run evaluate gen-dynamics --ratio 1 --inputs 60 --draws 4",
        "bun run evaluate gen-dynamics --ratio 0.5 --start 1 --draws 0 --json",
      ],
      output: "none",
      options: GEN_DYNAMICS,
      run: async (context) => (await import("../src/evaluate/commands/gen-dynamics.ts")).genDynamics(context),
    }),
    "moe-cost": command({
      about: "Time a layer of experts on this device, and tell in how many chunks its tokens pass fastest.",
      examples: ["bun run evaluate moe-cost --width 32 --hidden 32 --sizes 16,32,64 --repeats 2"],
      output: "none",
      options: MOE_COST,
      notes: `A time is a line, start + each token. Stages are the transfer of tokens to the device, and the experts with their router. With r chunks
the slowest stage works r times, and the others once: they fill the pipeline.`,
      run: async (context) => (await import("../src/evaluate/commands/moe-cost.ts")).moeCost(context),
    }),
    lifelong: command({
      about: "Measure a log of alternating blocks of training and tests: what was kept, transferred and recovered.",
      args: "[log]",
      examples: [
        "bun run evaluate lifelong life.jsonl",
        "bun run evaluate lifelong life.jsonl --expert alone.jsonl --range 0,1 --json",
      ],
      output: "text",
      options: LIFELONG,
      notes: `A line of the log is {"block": 3, "type": "train", "task": "a", "performance": 0.8}: one experience of training, or one test. A
block of training has one task, a block of tests any number of them.`,
      run: async (context) => (await import("../src/evaluate/commands/lifelong.ts")).lifelong(context),
    }),
    shift: command({
      about: "Compare models on rows of the domain that they learnt, of others, made worse, and behind examples.",
      args: "[...models]",
      examples: [
        "bun run evaluate shift plain/ hardened/ --data blobs.jsonl --shifted far=gone.jsonl --corruption gaussian-noise --range -6,6",
      ],
      output: "none",
      options: SHIFT,
      essentials: ["data", "shifted", "corruption", "shots", "bootstrap", "batch_size"],
      notes: `A row is right where its class, or every token of its answer, is. Area is the mean accuracy over severities 0 to 5, by trapezoids. With
three models or more, beyond the line is accuracy on shifted rows less what a line through all models foretells from that on learnt
ones, in log odds (arXiv:2007.00644).`,
      run: async (context) => (await import("../src/evaluate/commands/shift.ts")).shift(context),
    }),
    swiss: command({
      about: "Rank models over several benchmarks by simulated Swiss tournaments, from the records of evaluations.",
      args: "[...scores]",
      examples: [
        "bun run evaluate a/ b/ --data math=m.jsonl --data code=c.jsonl -o scores.jsonl",
        "bun run evaluate swiss scores.jsonl --metric accuracy",
      ],
      output: "none",
      options: SWISS,
      notes: `Wins are means over tournaments; T models of the fewest wins leave after each round, and stays is the share of tournaments in which
a model is there at the end. slope is that of wins over T: steep for a model that fails somewhere, flat for one that does not.`,
      run: async (context) => (await import("../src/evaluate/commands/swiss.ts")).swiss(context),
    }),
    stream: command({
      about:
        "Compare ways of adapting at test time on streams of corrupted rows: errors over time, and what collapses.",
      args: "[model]",
      examples: [
        "bun run evaluate stream digits/ --data held.jsonl --test-time source,bn-adapt,tent,eata --source train.jsonl --domain-rows 20 --repetitions 3 --shape 1,12,12",
      ],
      output: "text",
      options: TEST_STREAM,
      essentials: [
        "data",
        "test_time",
        "stream",
        "corruption",
        "severity",
        "repetitions",
        "domain_rows",
        "source",
        "lr",
      ],
      notes: `continual: one corruption after the other; gradual: each at severity 1 to 5 and back; recurring: continual --repetitions times; mixed:
all rows in one random order. Every method begins each stream at the source model. collapse is the error of the last repetition less
that of the first; top class is the share of the answer that is given most; clean is the error on the clean rows after the stream.
--lr is that of all methods, each has its own when it is left out.`,
      run: async (context) => (await import("../src/evaluate/commands/stream.ts")).evaluateStream(context),
    }),
    exits: command({
      about: "Tell what rows cost that leave a classifier at its exits, and how right they are.",
      args: "[model]",
      examples: ["bun run evaluate exits by-layer/ --exits by-layer.exits.safetensors --data blobs.jsonl"],
      output: "none",
      options: EXITS,
      notes: `Cost is the mean share of the model's multiplications; ECE is the calibration error of what rows say where they leave. Under each
set of gates stands the threshold of confidence on the same heads that costs no more.`,
      run: async (context) => (await import("../src/evaluate/commands/exits.ts")).evaluateExits(context),
    }),
    routers: command({
      about: "Tell how many layers routers run for prompts, and how many answers are right so.",
      args: "[model]",
      examples: ["bun run evaluate routers adds/ --routers adds.routers.safetensors --data rows.jsonl"],
      output: "none",
      options: ROUTERS,
      notes: `An answer is right where greedy decoding gives it to the letter. Beside the routers stand the whole model, and as many layers for
every row that are drawn at random.`,
      run: async (context) => (await import("../src/evaluate/commands/routers.ts")).evaluateRouters(context),
    }),
    benchmark: command({
      about: "Make the table of a benchmark of unlearning from its own files: models beside target and gold.",
      args: "[...models]",
      examples: [
        "bun run evaluate benchmark unlearned/ --target model/ --gold retrained/ --files tofu-files/ --max-tokens 32",
        "bun run evaluate benchmark unlearned/ --suite tofu --files tofu-files/ --cache found/ --max-tokens 8 --json",
      ],
      output: "none",
      options: BENCHMARK,
      essentials: ["suite", "files", "target", "gold", "gold_log", "split", "cache", "batch_size", "max_tokens"],
      notes: `Forget quality is the p-value of a test that truth ratios are gold's, D the distance that it tests and n the rows: p of other n
does not compare. A truth ratio is best near gold's, not near 1, and so are ES, EM and the others of the rows to forget; PrivLeak is
-100 where rows are still known, 0 like gold, above 0 where they look less likely than rows never seen. Utility is better the more.`,
      run: async (context) => (await import("../src/evaluate/commands/benchmark.ts")).benchmarkTable(context),
    }),
    planted: command({
      about: "Compare rows that were planted in training with those that were held back.",
      args: "[...models]",
      examples: ["bun run evaluate planted base/ --plant experiments.jsonl"],
      output: "none",
      options: PLANTED,
      notes: `Planted less control, of the mean loss of rows and of the share whose every token is the likeliest. The 95 % are those of
shuffles of both kinds of rows about the effect, p is the share of shuffles that differ as much.`,
      run: async (context) => (await import("../src/evaluate/commands/planted.ts")).planted(context),
    }),
    interactions: command({
      about: "Test whether experiments that are planted together disturb each other.",
      args: "[model]",
      examples: ["bun run evaluate interactions base/ --plant experiments.jsonl --data rows.jsonl --steps 2 --seeds 2"],
      output: "none",
      options: INTERACTIONS,
      notes: `From the model training goes on with none of the experiments, with each, and with every two of them: (both - second) - (first - none)
is what they do to each other. It is marked where it is beyond what seeds make of it, with 95 %.`,
      run: async (context) => (await import("../src/evaluate/commands/interactions.ts")).interactions(context),
    }),
    "two-phase": command({
      about: "Choose each method's settings on one stream of tasks, and report how they do on another.",
      examples: [
        "bun run evaluate two-phase --tune tuned/",
        "bun run evaluate two-phase --tune tuned/ --report reported/ --json",
      ],
      output: "text",
      options: TWO_PHASE,
      notes: `Logs are those of adapt --tasks ... --log run.log. Runs that differ by seed and stream alone are one configuration; the one with
the best mean is chosen. No score is shown of the stream that settings were chosen on.`,
      run: async (context) => (await import("../src/evaluate/commands/two-phase.ts")).twoPhase(context),
    }),
    imatrix: command({
      about: "Measure what a model's matrices read, for GGUF files of few bits.",
      args: "[model]",
      examples: [
        "bun run evaluate imatrix model/ --data rows.jsonl -o imatrix.gguf",
        "bun run merge model/ --method passthrough --gguf-type q4_k_m --gguf-imatrix imatrix.gguf -o small.gguf",
      ],
      output: "checkpoint",
      options: IMATRIX,
      run: async (context) => (await import("../src/evaluate/commands/imatrix.ts")).writeImatrix(context),
    }),
    gram: command({
      about: "Measure the Gram matrices of what a model's linear layers read, for merge --method regmean.",
      args: "[model]",
      examples: [
        "bun run evaluate gram a/ --data a.jsonl -o a.gram.safetensors",
        "bun run evaluate gram b/ --data b.jsonl -o b.gram.safetensors",
        "bun run merge a/ b/ --method regmean --stats a.gram.safetensors,b.gram.safetensors -o merged/",
      ],
      output: "checkpoint",
      options: GRAM,
      run: async (context) => (await import("../src/evaluate/commands/gram.ts")).writeGram(context),
    }),
  },
  notes: `--list explains each metric, attack and probe; --help --metric truth-ratio says how one is computed, its range, which side is
better and what it reads; --help --attack relearn shows the options of one.

The ending of -o picks the form: .csv and .jsonl have every number as a record, .json what --json prints, .md and .tex the table, .txt
what a terminal shows.

${TASK_NOTES}

Keys of rows: choice needs prompt, choices and answer (the place of the right one); truth-ratio, forget-quality,
normalised-probability and paraphrased-probability need other answers to a prompt, paraphrased_answer and perturbed_answer, as
bun run data facts writes them. The mia attacks and privleak compare the groups forget and holdout; model-utility reads whichever of
the groups retain, real and world there are; forget-quality, mia-reference and unlearning-score need --gold. --probe trace needs
prompt and completion, and a subject if only a part of the prompt names it: {"prompt": ..., "subject": "Ada", ...}.

Intervals are percentile bootstraps over rows (within groups where groups are compared); several models share the resamples.`,
  run: async (context) => (await import("../src/evaluate/command.ts")).evaluate(context),
});
