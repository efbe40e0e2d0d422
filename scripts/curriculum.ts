#!/usr/bin/env bun
/**
 * Train on groups of data whose mixture, or on rows whose order, follows what the model has learned.
 *
 *   bun run curriculum model/ --data a=a.jsonl --data b=b.jsonl --method static --mixture 0.3,0.7 --steps 20 -o out/
 *   bun run curriculum graph model/ --data a=a.jsonl --data b=b.jsonl --eval-data a=av.jsonl --eval-data b=bv.jsonl
 *   bun run curriculum select model/ --data rows.jsonl --select-by dp-means --keep 1000 > chosen.jsonl
 *   bun run curriculum plan --flops 1e18 --tokens 1e9
 *   bun run curriculum --stages stages.yml
 */
import { command, script } from "../src/cli/script.ts";
import { QUERY } from "../src/curriculum/asking/options.ts";
import {
  BALANCE,
  CORRELATE,
  CURRICULUM,
  GRAPH,
  MIX_AGENT,
  MIXTURE_SEARCH,
  PLAN,
  REGMIX,
  SCORE,
  SELECT,
  STAGES,
  WEIGHTS,
} from "../src/curriculum/options.ts";
import { PRESET } from "../src/curriculum/presets/contract.ts";

const GROUPS = "--data a=a.jsonl --data b=b.jsonl --eval-data a=av.jsonl --eval-data b=bv.jsonl";

await script({
  name: "curriculum",
  about: "Train on groups of data whose mixture, or on rows whose order, follows what the model has learned.",
  args: "[model]",
  examples: [
    "bun run curriculum model/ --data math=m.jsonl --data code=c.jsonl --method static --mixture 0.3,0.7 --steps 20 -o out/",
    `bun run curriculum model/ ${GROUPS} --method aioli --round 40 --steps 80 --log run.jsonl -o out/`,
    `bun run curriculum model/ ${GROUPS} --method skill-it --graph graph.json --steps 20 -o skilled/`,
    "bun run curriculum model/ --data a=a.jsonl --data b=b.jsonl --schedule-from run.jsonl --steps 20 -o again/",
    "bun run curriculum model/ --data rows.jsonl --method length --epochs 2 -o ordered/",
  ],
  methods: "curriculum",
  defaultMethod: "stratified",
  output: "checkpoint",
  options: CURRICULUM,
  essentials: ["data", "eval_data", "steps", "epochs", "batch_size", "lr", "resume"],
  commands: {
    graph: command({
      about: "Measure how groups help each other by short runs, and write the graph as JSON.",
      args: "[model]",
      examples: [
        `bun run curriculum graph model/ ${GROUPS} -o graph.json`,
        "bun run curriculum graph --data a=a.jsonl --data b=b.jsonl --edges a:b -o graph.json",
      ],
      output: "none",
      options: GRAPH,
      run: async (context) => (await import("../src/curriculum/commands/graph.ts")).graph(context),
    }),
    balance: command({
      about:
        "Measure what tasks do for each other and how hard they are by short runs, and write their weights as JSON.",
      args: "[model]",
      examples: [
        `bun run curriculum balance model/ ${GROUPS} -o weights.json`,
        `bun run curriculum balance model/ ${GROUPS} --mini 0.1 --passes 4 -o weights.json`,
      ],
      output: "none",
      options: BALANCE,
      run: async (context) => (await import("../src/curriculum/commands/balance.ts")).balance(context),
    }),
    "mixture-search": command({
      about: "Rank mixtures of parts of a corpus by averages of models that were trained on one part each.",
      args: "[model]",
      examples: [
        "bun run curriculum mixture-search model/ --data a=a.jsonl --data b=b.jsonl --eval-data av.jsonl -o mixtures.json",
        "bun run curriculum mixture-search model/ --data a=a.jsonl --data b=b.jsonl --data c=c.jsonl --eval-data av.jsonl --mixtures all --calibrate 3",
      ],
      output: "none",
      options: MIXTURE_SEARCH,
      run: async (context) => (await import("../src/curriculum/commands/mixture-search.ts")).mixtureSearch(context),
    }),
    regmix: command({
      about: "Train shortly on drawn mixtures, fit a law of the loss to them, and give the mixture that it likes best.",
      args: "[model]",
      examples: [
        `bun run curriculum regmix model/ ${GROUPS} --mixture-runs 8 --mixture-steps 2 -o mixture.json`,
        `bun run curriculum regmix model/ ${GROUPS} --law exponential --aim b --mixture-runs 8 --mixture-steps 2 -n`,
      ],
      output: "none",
      options: REGMIX,
      notes: `Held-out groups need not be those of --data. The answer is for --method static --mixture. How the law ranks trainings that it was not
fitted to is told: below 0.7 it is no guide.`,
      run: async (context) => (await import("../src/curriculum/commands/regmix.ts")).regmix(context),
    }),
    correlate: command({
      about: "Choose groups of text by how models' losses on them go with how well these models do.",
      args: "<losses>",
      examples: [
        "bun run evaluate model/ base/ out/ --data a=a.jsonl --data b=b.jsonl --metric loss --json > losses.json",
        "bun run curriculum correlate losses.json --scores scores.json --sizes a=900,b=300 --budget 400 -o chosen.json",
      ],
      output: "none",
      options: CORRELATE,
      notes: `Both files are what evaluate --json writes of the same models, which others may have trained; tens of them. Losses are of models that
read alike: figures per token compare models of one tokenizer. The answer is for --method static --mixture-file.`,
      run: async (context) => (await import("../src/curriculum/commands/correlate.ts")).correlate(context),
    }),
    select: command({
      about: "Score rows with a model, and write those that a selector chooses as they were.",
      args: "[model]",
      examples: ["bun run curriculum select model/ --data rows.jsonl --select-by dp-means --keep 1000 > chosen.jsonl"],
      output: "none",
      options: SELECT,
      run: async (context) => (await import("../src/curriculum/commands/select.ts")).select(context),
    }),
    "mix-agent": command({
      about: "Collect trainings under changing mixtures, or fit an agent to them that chooses mixtures.",
      args: "<collect|fit> [...inputs]",
      examples: [
        `bun run curriculum mix-agent collect model/ ${GROUPS} --new-groups b --trajectories 3 --rounds 3 --round-steps 2 -o tried.jsonl`,
        "bun run curriculum mix-agent fit tried.jsonl --clone-steps 20 --agent-steps 20 -o agent.json",
      ],
      output: "none",
      options: MIX_AGENT,
      notes: `collect trains a small model many times from the same start, and writes a line for each with the mixtures and the losses of every
round. fit learns from such files on the host: to repeat the mixtures of the best trainings, then by conservative Q-learning. The agent
of -o serves other models and other groups (--method mix-agent --agent FILE).`,
      run: async (context) => (await import("../src/curriculum/commands/mix-agent.ts")).mixAgent(context),
    }),
    query: command({
      about: "Learn which item to ask an answer of next, so that the best of some is found with few, and ask by it.",
      args: "<fit|next|test> [...policies]",
      examples: [
        "bun run curriculum query fit --items 3 --asks 6 --difficulties 3,8 --query-steps 4 -o policy.safetensors",
        "bun run curriculum query next policy.safetensors --names a,b,c",
        "bun run curriculum query test policy.safetensors --items 3 --difficulties 3,8 --query-steps 2 -o tested.json",
      ],
      output: "none",
      options: QUERY,
      notes: `Items are what gives answers of yes or no with a chance of its own: prompts, checkpoints, labellers. fit makes its problems itself and
needs no data; its policy serves any number of items. next reads the answers so far (--history) and says of which item to ask. test says
what is lost on the worst problem of each class by policies, and by asking of all in turn.`,
      run: async (context) => (await import("../src/curriculum/commands/query.ts")).query(context),
    }),
    score: command({
      about: "Measure the loss of every row under a model, and write the rows with it.",
      args: "[model]",
      examples: ["bun run curriculum score model/ --data rows.jsonl -o scored.jsonl"],
      output: "none",
      options: SCORE,
      notes: `Rows keep all that they hold and get a loss, null where no token counts. --scores takes the file where an ordering goes by
losses, such as cyclical by those of a model that was trained in the ordinary way, and curriculum weights reads the key (--loss-key).`,
      run: async (context) => (await import("../src/curriculum/commands/score.ts")).score(context),
    }),
    weights: command({
      about: "Weigh rows so that they look like those of a pool, and write them with their weights.",
      examples: ["bun run curriculum weights --data blobs.jsonl --pool target.jsonl -o weighed.jsonl"],
      output: "none",
      options: WEIGHTS,
      notes: `Rows keep all that they hold and get a loss_weight, of mean 1, which train, adapt, distill and unlearn multiply their losses by. The
effective sample size, (sum w)^2 / sum w^2, says how many rows of equal weight they are worth.`,
      run: async (context) => (await import("../src/curriculum/commands/weights.ts")).weights(context),
    }),
    preset: command({
      about: "Write the stages of a whole recipe, with the settings of its source, as a script of the shell.",
      args: "[preset] [model]",
      examples: [
        "bun run curriculum preset tulu model/ --sft rows.jsonl --pairs preferences.jsonl --prompts sums.jsonl --test test.jsonl -o tulu.sh",
      ],
      methods: "preset",
      methodFirst: true,
      output: "none",
      options: PRESET,
      notes: `The script is there to be read and changed. Its stages write to one folder, each under a name of its own once it is whole: run
again, it goes on where it ended. Learning rates and batches are those of large models; small ones want higher rates.`,
      run: async (context) => (await import("../src/curriculum/commands/preset.ts")).preset(context),
    }),
    stages: command({
      about: "Run several scripts as one plan, from a file that names their commands.",
      args: "<file>",
      alsoFlag: true,
      examples: ["bun run curriculum --stages stages.yml -n", "bun run curriculum --stages stages.yml --to run/"],
      output: "none",
      options: STAGES,
      notes: `Everything is checked before the first stage starts: options, files, and that a stage reads what an earlier one writes. Each stage
has a folder with its log, what it makes, and a record of hashes: one whose command, inputs or result have changed runs anew, the
others do not run again, and a training that was stopped goes on.`,
      run: async (context) => (await import("../src/curriculum/commands/stages.ts")).stages(context),
    }),
    plan: command({
      about: "Say how large a model and how many tokens fit a budget, and what loss a longer run would reach.",
      examples: [
        "bun run curriculum plan --flops 1e18 --tokens 1e9",
        "bun run curriculum plan --fit run.jsonl --at 10000,20000",
      ],
      output: "none",
      options: PLAN,
      run: async (context) => (await import("../src/curriculum/commands/plan.ts")).plan(context),
    }),
  },
  notes: `A sampler draws the group of every row; a group gives all of its rows once before it repeats one. Methods that follow losses measure
them on --eval-data, whose groups have the names of --data. --log records the mixtures, and --schedule-from draws the same batches
again. An ordering picks the rows of each pass and their order; rows without a token that counts come last. Steps are optimizer steps;
a method's probe steps count. Resuming and the other options of train work here too.`,
  run: async (context) => (await import("../src/curriculum/command.ts")).curriculum(context),
});
