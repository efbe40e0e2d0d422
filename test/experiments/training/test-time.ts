import { runScript } from "../../support/command.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const [CANVAS, TRAIN, HELD, DOMAIN, BATCH] = [10, 2000, 200, 48, 16];
const MLP = { model_type: "mlp", input_size: CANVAS ** 2, hidden_sizes: [64, 64], num_labels: 10 };
/** Sources, with what a training takes and the methods that go with them. */
const NETS = {
  "MLP with batch norm": {
    json: { ...MLP, hidden_norm: "batch" },
    train: "--epochs 10 --lr 3e-3",
    methods: "source,bn-adapt,tent,eata,cotta,rmt,vida,psmt",
  },
  MLP: { json: MLP, train: "--epochs 15 --lr 3e-3", methods: "source,cotta,rmt,vida,psmt" },
  ViT: {
    json: {
      ...{ model_type: "vit", hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 },
      ...{ image_size: CANVAS, patch_size: 5, num_channels: 1, num_labels: 10 },
    },
    train: "--epochs 20 --lr 3e-3",
    methods: "source,tent,eata,cotta,rmt,vida,psmt",
  },
} as const;
const COLUMNS = ["continual", "gradual", "recurring", "last − first", "mixed", "clean after recurring"] as const;

interface Result {
  readonly method: string;
  readonly stream: string;
  readonly error: number;
  readonly collapse: number | null;
  readonly source_error: number;
}

const GAIN = "MLP with batch norm, source less rmt: recurring";
/** What stays is the same at each repetition; the robust teacher gains and does not collapse. */
const BOUNDS: Readonly<Record<string, Bound>> = {
  [GAIN]: { above: 0.1 },
  "MLP with batch norm, source: last − first": { is: 0 },
  "MLP with batch norm, bn-adapt: last − first": { is: 0 },
  "MLP with batch norm, rmt: last − first": { below: 0.06 },
};

const rows = Object.entries(NETS).flatMap(([net, { methods }]) =>
  methods.split(",").map((method) => `${net}, ${method}`),
);

export const experiment: Experiment = {
  title: "Methods at test time on streams of corrupted digits",
  about: `${TRAIN} digits on ${CANVAS} x ${CANVAS} pixels train the source: a perceptron of two hidden layers of 64, with and without batch norm, and a
Vision Transformer of two layers of 32. \`evaluate stream\` makes the streams of ${HELD} other digits: eight corruptions at severity 5 (gradual: 1 to
5 and back), ${DOMAIN} rows of each, in batches of ${BATCH}; recurring is ten times over. Shares of wrong answers, each batch answered before it is
learnt from; *last − first* is the error of the tenth repetition less that of the first, *clean after recurring* that on the ${HELD} clean digits after
the stream. All methods have their own rates and defaults but for 2000 rows of warm-up (rmt), 4 views (cotta, psmt) and ranks of 1 and 16 (vida).`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...rows.flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)), GAIN].map((name) => [
      name,
      BOUNDS[name] ?? {},
    ]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = async (script: string, line: string) => {
        const { err, code, text } = await runScript(script, `${line} -q`.split(" "), lab.folder);
        if (code !== 0) throw new Error(`${line}\n${err}`);
        return text;
      };
      const digits = `glyphs --canvas ${CANVAS} --shift 1 --seed ${seed}`;
      await run("data", `${digits} --size ${TRAIN} -o train.jsonl`);
      await run("data", `${digits} --split test --size ${HELD} -o held.jsonl`);
      const figures: Record<string, number> = {};
      for (const [net, { json, train, methods }] of Object.entries(NETS)) {
        const fresh = lab.fresh(json);
        const source = `${fresh} --data train.jsonl ${train} --batch-size 50 --seed ${seed} --save-every 0`;
        await run("train", `${source} --overwrite -o source/`);
        const text = await run(
          "evaluate",
          `stream source/ --data held.jsonl --source train.jsonl --test-time ${methods} --domain-rows ${DOMAIN} --batch-size ${BATCH} --shape 1,${CANVAS},${CANVAS} --seed ${seed} --views 4 --warmup-rows 2000 --rank-high 16 --json`,
        );
        const { results } = JSON.parse(text) as { readonly results: readonly Result[] };
        for (const { method, stream, error, collapse, source_error: clean } of results) {
          const row = `${net}, ${method}`;
          figures[`${row}: ${stream}`] = error;
          if (stream !== "recurring") continue;
          figures[`${row}: last − first`] = collapse!;
          figures[`${row}: clean after recurring`] = clean;
        }
      }
      const of = (method: string) => figures[`MLP with batch norm, ${method}: recurring`]!;
      figures[GAIN] = of("source") - of("rmt");
      return figures;
    }),
};
