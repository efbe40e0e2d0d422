#!/usr/bin/env bun
/**
 * Make procedural data whose truth is known.
 *
 *   bun run data addition --digits 3 --size 10000 -o train.jsonl
 *   bun run data markov --split test > test.jsonl
 *   bun run data show rows.jsonl --tokenizer model/
 */
import { command, script } from "../src/cli/script.ts";
import { AUGMENT } from "../src/data/augmenting/options.ts";
import { DATA_OPTIONS, runData } from "../src/data/command.ts";
import { CORRUPT } from "../src/data/corrupting/options.ts";
import { DECONTAMINATE } from "../src/data/decontamination/options.ts";
import { DEDUPE } from "../src/data/deduplication/options.ts";
import { DEMOS } from "../src/data/demonstrations/options.ts";
import { GPICL } from "../src/data/in-context/options.ts";
import { METADATA } from "../src/data/metadata/options.ts";
import { NUMERIC } from "../src/data/numeric/options.ts";
import { PLAIN } from "../src/data/plain/options.ts";
import { SHIFT_LABELS } from "../src/data/shifting/options.ts";
import { SHOW } from "../src/run/show-options.ts";

await script({
  name: "data",
  about: "Make procedural data whose truth is known.",
  args: "[task]",
  examples: [
    "bun run data addition --digits 3 --size 10000 -o train.jsonl",
    "bun run data addition --digits 3 --size 500 --split test -o test.jsonl",
    "bun run data markov --order 2 --size 5000 > language.jsonl",
    "bun run data facts --part forget -o forget.jsonl",
    "bun run data glyphs --stream digits=01,23,45,67,89 -o split/",
    "bun run data lego --help",
    "bun run data show rows.jsonl --tokenizer model/",
  ],
  methods: "task",
  methodFirst: true,
  output: "none",
  options: DATA_OPTIONS,
  essentials: Object.keys(DATA_OPTIONS),
  commands: {
    augment: command({
      about: "Add copies of rows with some words replaced, added, swapped, left out, or in another language.",
      args: "[rows]",
      examples: [
        "bun run data augment reviews.jsonl -o more.jsonl",
        "bun run data augment reviews.jsonl --synonyms words.json --rate 0.2 --copies 4 -o more.jsonl",
        "bun run data augment reviews.jsonl --operation switch --translations words.json -o switched.jsonl",
      ],
      output: "none",
      options: AUGMENT,
      notes: `Easy data augmentation: each copy is made by one operation, drawn by --seed. A copy keeps all other keys of its row, its label
too. Without a table of synonyms words are swapped and left out. Copies that came out like their row are left out.`,
      run: async (context) => (await import("../src/data/commands/augment.ts")).augment(context),
    }),
    gpicl: command({
      about: "Make a stream of random tasks of a data set, whose rows hold their own examples.",
      args: "[rows]",
      examples: ["bun run data gpicl blobs.jsonl --pairs 8 --size 64 -o tasks.jsonl"],
      output: "none",
      options: GPICL,
      notes: `Rows are tokens, of which the classes behind examples count: numbers have the tokens from 0, classes those from --bins on. A task is a
random projection of the inputs and a random order of the classes.`,
      run: async (context) => (await import("../src/data/commands/gpicl.ts")).gpicl(context),
    }),
    numeric: command({
      about: "Ask for the number of a text, or for a text of a number, digit by digit.",
      args: "[rows]",
      examples: [
        "bun run data numeric strings.jsonl --digits 1.1 -o to-numbers.jsonl",
        "bun run data numeric strings.jsonl --digits 1.1 --ask text -o to-texts.jsonl",
      ],
      output: "none",
      options: NUMERIC,
      notes: `A digit is one token with its place, 12.3 is _1_1__2_0__3_-1_; ingot merge --numeric-tokens gives a model these tokens. A row that asks
for the number is text|<value> with the number as its completion, one that asks for a text is <value>, the number and |.`,
      run: async (context) => (await import("../src/data/commands/numeric.ts")).numeric(context),
    }),
    corrupt: command({
      about: "Make the inputs of rows worse: noise, blur, hidden parts or words.",
      args: "[rows]",
      examples: [
        "bun run data corrupt clean-digits.jsonl --corruption gaussian-noise --severity 4 -o noisy-digits.jsonl",
        "bun run data corrupt reviews.jsonl --corruption span-mask -o masked.jsonl",
      ],
      output: "none",
      options: CORRUPT,
      notes: `Values of x are cut off at --range, and have four digits. A row keeps all other keys, its label too. What happens to a row follows
from --seed and its place, so that two runs give the same rows.`,
      run: async (context) => (await import("../src/data/commands/corrupt.ts")).corrupt(context),
    }),
    decontaminate: command({
      about: "Drop training rows that hold rows of a test set.",
      args: "[rows]",
      examples: [
        "bun run data decontaminate train.jsonl --against test.jsonl -o clean.jsonl",
        "bun run data decontaminate train.jsonl --against sums=test.jsonl --against chats=chats.jsonl --check",
      ],
      output: "none",
      options: DECONTAMINATE,
      notes: `Tokens are words and signs, whatever their case. A test row is matched where n-grams of --ngram tokens that it shares with one
training row hold more than --covered of its tokens; one of fewer tokens has to be there whole. Rows go out as they came in.`,
      run: async (context) => (await import("../src/data/commands/decontaminate.ts")).decontaminate(context),
    }),
    dedupe: command({
      about: "Drop rows that repeat earlier ones, word for word or nearly.",
      args: "[rows]",
      examples: [
        "bun run data dedupe train.jsonl -o once.jsonl",
        "bun run data dedupe train.jsonl --by exact --against test.jsonl -o fresh.jsonl",
      ],
      output: "none",
      options: DEDUPE,
      notes: `Tokens are words and signs, whatever their case. Of rows that are alike the first stays; rows go out as they came in, in one pass.
What is kept of a row is its signature, --signature-bits of each permutation, and its places in bands of it: some 1 KB by default, however long
the row. --seed draws the hash functions.`,
      run: async (context) => (await import("../src/data/commands/dedupe.ts")).dedupe(context),
    }),
    plain: command({
      about: "Write documents, instructions, conversations and preferences as plain texts.",
      args: "[rows...]",
      examples: ["bun run data plain rows.jsonl preferences.jsonl -o texts.jsonl"],
      output: "none",
      options: PLAIN,
      run: async (context) => (await import("../src/data/commands/plain.ts")).plain(context),
    }),
    demos: command({
      about: "Put demonstrations of how others are answered before prompts.",
      args: "[rows]",
      examples: [
        "bun run data demos rows.jsonl --demo-count 2 -o shown.jsonl",
        "bun run data demos rows.jsonl --bank other.jsonl --retriever random -o any.jsonl",
        "bun run data demos rows.jsonl --retriever base/ --demo-count 1 -o alike.jsonl",
      ],
      output: "none",
      options: DEMOS,
      notes: `Rows are prompts and completions, and keep all other keys; the best demonstration stands last. None asks what the row asks. The
loss is on the row's own completion alone, as a prompt carries none.`,
      run: async (context) => (await import("../src/run/commands/demos.ts")).demos(context),
    }),
    metadata: command({
      about: "Put metadata before documents, as prompts that carry no loss.",
      args: "[rows]",
      examples: [
        "bun run data metadata reviews.jsonl --field label --part marked -o marked.jsonl",
        "bun run data metadata reviews.jsonl --field label --part plain -o plain.jsonl",
      ],
      output: "none",
      options: METADATA,
      notes: `Rows of text become rows of prompt and completion. The parts marked and plain share no row, so that curriculum --method meco cools
down on documents that are not seen before. --constant gives all rows the same metadata, to measure a model under it.`,
      run: async (context) => (await import("../src/data/commands/metadata.ts")).metadata(context),
    }),
    "shift-labels": command({
      about: "Let labels change their meaning along a stream of rows.",
      args: "[rows]",
      examples: ["bun run data shift-labels blobs.jsonl --every 20 --classes 4 -o shifted.jsonl"],
      output: "none",
      options: SHIFT_LABELS,
      notes: `Every --every rows two labels change places, or all are dealt anew. train --prequential learns such a stream row by row, and tells how
it was answered. Which labels they are follows from --seed and the number of the shift.`,
      run: async (context) => (await import("../src/data/commands/shift-labels.ts")).shiftLabels(context),
    }),
    show: command({
      about: "Show rows as a model reads them, with the tokens marked that count.",
      args: "<rows...>",
      examples: [
        "bun run data show rows.jsonl --tokenizer model/",
        "bun run data show chats.jsonl --tokenizer model/ --turns each --rows 1",
      ],
      output: "text",
      options: SHOW,
      notes: `What counts is green on a terminal, and in ⟦brackets⟧ in a pipe, a file, or with NO_COLOR; --json gives the parts with their
tokens. Rows are cut and split as training would.`,
      run: async (context) => (await import("../src/run/commands/show-rows.ts")).showRows(context),
    }),
  },
  notes: `The task comes first; --method TASK means the same. Rows are JSON lines. A row depends on the seed, the split and its
place alone: a smaller --size is the beginning of a larger one. The seed makes the world (the language, the people, the class
means), and the splits of one seed share it. Splits have no content in common (addition, facts, knights, lego, modular), or are
independent draws from one distribution (blobs, glyphs, markov). Rows of facts and modular are all different; those of addition,
knights and lego are drawn one by one, so a row may occur twice within a split.

--stream digits=01,23,45 makes a stream of tasks for adapt --tasks: the folder -o gets task-0.jsonl, task-1.jsonl, ..., one for each
value, and held-out rows of the test split in test/task-0.jsonl, test/task-1.jsonl, ...

Facts about the rows (entropy rate, best possible error, shares) go to stderr. --json prints them on stdout, with counts and hashes of
rows and answers; rows are then written only if -o names a file.`,
  run: runData,
});
