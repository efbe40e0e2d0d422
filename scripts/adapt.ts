#!/usr/bin/env bun
import { NCT } from "../src/adapt/control/options.ts";
/**
 * Learn one task after another, train an adapter, or work with adapters as values.
 *
 *   bun run adapt model/ --tasks a.jsonl,b.jsonl --method er -o out/
 *   bun run adapt extract math/ --base base/ --rank 16 -o math-lora/
 *   bun run adapt combine math-lora/ code-lora/ --method ties-svd --weight 0.6,0.4 -o both-lora/
 */
import {
  ADAPT,
  ASSIGN,
  COMBINE,
  EXTRACT,
  FLATTEN,
  FUSE,
  GAIN,
  RESIZE,
  SELECT,
  TEST_STREAM,
} from "../src/adapt/options.ts";
import { command, script } from "../src/cli/script.ts";

await script({
  name: "adapt",
  about: "Learn one task after another, or train an adapter; take adapters out of fine-tunes, combine and resize them.",
  args: "[model]",
  examples: [
    "bun run adapt model/ --tasks a.jsonl,b.jsonl --method er --eval-split 0.1 --epochs 3 -o out/",
    "bun run adapt model/ --data rows.jsonl --steps 100 -o adapter/",
    "bun run adapt extract math/ --base base/ --rank 16 -o math-lora/",
    "bun run adapt resize math-lora/ --rank 4 -o smaller-lora/",
    "bun run adapt combine math-lora/ code-lora/ --method svd --weight 0.6,0.4 -o both-lora/",
  ],
  methods: "continual",
  defaultMethod: "seq",
  output: "checkpoint",
  options: ADAPT,
  essentials: ["tasks", "eval_tasks", "eval_split", "data", "steps", "epochs", "lr", "lora", "resume"],
  notes: `--tasks learns one task after the other; --steps or --epochs, --lr and --schedule are those of each task. After every task
the model is scored on all of them: --log has the scores line by line, --json the whole matrix R with its metrics. --eval-data are rows
that no task is about. The same command with --resume continues at any step of any task. Without --tasks, --data trains an adapter,
LoRA unless another is named.`,
  commands: {
    extract: command({
      about: "Take an adapter out of a fine-tune and its base: low-rank changes, and what else changed whole.",
      args: "[fine-tune]",
      examples: [
        "bun run adapt extract math/ --base base/ --rank 16 -o math-lora/",
        "bun run adapt extract math/ --base base/ --energy 0.9 -o math-lora/",
        "bun run adapt extract math/ --base base/ --budget 1MB --dtype bf16 -o math-lora/",
      ],
      output: "checkpoint",
      options: EXTRACT,
      essentials: ["base", "rank", "energy", "budget", "embed_lora", "include_regex", "exclude_regex", "dtype"],
      run: async (context) => (await import("../src/adapt/commands/extract.ts")).extract(context),
    }),
    combine: command({
      about: "Combine adapters of one base into one adapter, without the base.",
      args: "[...adapters]",
      examples: [
        "bun run adapt combine math-lora/ code-lora/ --method svd --weight 0.6,0.4 -o both-lora/",
        "bun run adapt combine math-lora/ code-lora/ --method ties-svd --density 0.3 --svd-rank 8 -o tied-lora/",
        "bun run adapt combine math-lora/ code-lora/ --method knots -o knotted-lora/",
      ],
      methods: "adapt",
      output: "checkpoint",
      options: COMBINE,
      run: async (context) => (await import("../src/adapt/commands/combine.ts")).combine(context),
    }),
    fuse: command({
      about: "Fuse adapters of several tasks through a latent space that is learnt of their snapshots.",
      args: "[base]",
      examples: [
        "bun run adapt fuse base/ --adapters snapshots/ --data sums=rows.jsonl --data code=other.jsonl --latent 16 --steps 50 --meta-steps 2 -o fused-lora/",
      ],
      output: "checkpoint",
      options: FUSE,
      essentials: ["adapters", "data", "eval_data", "weight", "latent", "steps", "meta_steps", "fuse_steps"],
      run: async (context) => (await import("../src/adapt/commands/fuse.ts")).fuse(context),
    }),
    flatten: command({
      about: "Write the plain LoRA that comes nearest to an adapter whose ranks count by the input (mora).",
      args: "[adapter]",
      examples: ["bun run adapt flatten grown/ -o grown-lora/"],
      output: "checkpoint",
      options: FLATTEN,
      run: async (context) => (await import("../src/adapt/commands/flatten.ts")).flatten(context),
    }),
    gain: command({
      about: "Set the gains of a model's channels for unlabelled rows of a new kind: an adapter of IA3's form.",
      args: "[model]",
      examples: ["bun run adapt gain base/ --data other.jsonl --reference rows.jsonl -o gains/"],
      output: "checkpoint",
      options: GAIN,
      essentials: ["data", "reference", "targets", "alpha", "beta"],
      run: async (context) => (await import("../src/adapt/commands/gain.ts")).adaptGain(context),
    }),
    nct: command({
      about: "Add a control to a one-step generator: an adapter that is trained on noise alone.",
      args: "[model]",
      examples: ["bun run adapt nct denoiser/ --classifier plain/ --steps 2 --batch-size 8 -o controlled/"],
      output: "checkpoint",
      options: NCT,
      notes: `The classifier's classes are what can be asked for. Its class of a row that the generator makes of noise is the control of that noise,
and noise that fades into other noise has to give the same. The generator stays as it is; "sample vectors base/+controlled/ --ask 2"
draws with the adapter.`,
      run: async (context) => (await import("../src/adapt/commands/nct.ts")).nct(context),
    }),
    stream: command({
      about: "Adapt a classifier to the rows that it answers, batch by batch and without their labels.",
      args: "[model]",
      examples: [
        "bun run adapt stream normed-net/ --data noise=noise.jsonl --data impulse=impulse.jsonl --method tent --predictions given.jsonl -o tented/",
        "bun run adapt stream normed-net/ --data noise.jsonl --data impulse.jsonl --method eata --source blobs.jsonl --episodic domain -o sure/",
      ],
      methods: "test-time",
      defaultMethod: "tent",
      output: "checkpoint",
      options: TEST_STREAM,
      essentials: ["data", "source", "predictions", "batch_size", "lr", "episodic", "augment"],
      notes: `Every batch is answered before anything is learnt from it, and labels are used to count errors alone. Batches do not go over the
end of a domain. Norms over the batch go by the rows that are answered together, so that the result depends on --batch-size. The model
that is written has the weights that gave the last answers: of methods with a teacher, the teacher's.`,
      run: async (context) => (await import("../src/adapt/commands/stream.ts")).adaptStream(context),
    }),
    assign: command({
      about: "Say which adapter of a codebook a task goes to, or whether it needs a new one, by how its texts read.",
      args: "[rows]",
      examples: [
        "bun run adapt assign a.jsonl -o codebook.json",
        "bun run adapt assign b.jsonl --codebook codebook.json --threshold 0.3 -o codebook2.json",
        "bun run adapt assign b.jsonl --codebook codebook2.json --choose",
      ],
      output: "none",
      options: ASSIGN,
      run: async (context) => (await import("../src/adapt/commands/assign.ts")).assign(context),
    }),
    select: command({
      about: "Choose which values to trust in new environments, by statistics of their unlabelled rows.",
      args: "[rows]",
      examples: [
        "bun run adapt select places.jsonl --test elsewhere.jsonl",
        "bun run adapt select places.jsonl --test elsewhere.jsonl --sets 0 --sets 0,1 --gate nearest -o selector.json",
      ],
      output: "none",
      options: SELECT,
      run: async (context) => (await import("../src/adapt/commands/select.ts")).select(context),
    }),
    resize: command({
      about: "Bring an adapter to another rank.",
      args: "[adapter]",
      examples: [
        "bun run adapt resize math-lora/ --rank 1 -o smaller-lora/",
        "bun run adapt resize math-lora/ --energy 0.95 -o smaller-lora/",
      ],
      output: "checkpoint",
      options: RESIZE,
      run: async (context) => (await import("../src/adapt/commands/resize.ts")).resize(context),
    }),
  },
  run: async (context) => (await import("../src/adapt/command.ts")).adapt(context),
});
