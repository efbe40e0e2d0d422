import { runScript } from "../../support/command.ts";
import { inLab, type Lab, mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { normal, randomArray } from "../support.ts";

const [CLASSES, INPUTS, CLIENTS, ROUNDS] = [10, 12, 4, 5];
const [MOST, RATIO] = [240, 50];
const HEAD = "classifier.weight";

/** Rows of a class at each client: ever fewer from the first class to the last, and most at a client or two. */
function countsOf(seed: number): number[][] {
  const next = normal(1000 + seed);
  const total = Array.from({ length: CLASSES }, (_, c) => Math.round(MOST * RATIO ** (-c / (CLASSES - 1))));
  const shares = total.map(() => {
    const drawn = Array.from({ length: CLIENTS }, () => Math.exp(1.5 * next()));
    const sum = drawn.reduce((a, b) => a + b, 0);
    return drawn.map((share) => share / sum);
  });
  return Array.from({ length: CLIENTS }, (_, i) => total.map((count, c) => Math.round(count * shares[c]![i]!)));
}

/** Writes every client's rows, others as its own are spread, and others of all classes alike and of the four rarest. */
function writeRows(lab: Lab, seed: number): number[] {
  const next = normal(seed);
  const centres = Array.from({ length: CLASSES }, () => randomArray(INPUTS, next));
  const row = (label: number) => ({ x: [...centres[label]!].map((c) => c + 1.1 * next()), label });
  const of = (counts: readonly number[], times: number) =>
    counts.flatMap((count, label) => Array.from({ length: count * times }, () => row(label)));
  const counts = countsOf(seed);
  for (const [i, own] of counts.entries()) {
    lab.rows(`client-${i}`, of(own, 1));
    lab.rows(`client-${i}-held`, of(own, 2));
  }
  lab.rows("all", of(new Array(CLASSES).fill(100), 1));
  lab.rows("tail", of(new Array(CLASSES).fill(0).fill(150, CLASSES - 4), 1));
  return counts.map((own) => own.reduce((a, b) => a + b, 0));
}

async function run(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, [...line.split(" "), "-q"], lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

async function accuracy(lab: Lab, model: string, rows: string): Promise<number> {
  const text = await run(lab, "evaluate", `${model} --data ${rows}.jsonl --metric accuracy --json`);
  return (JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value;
}

const EACH = Array.from({ length: CLIENTS }, (_, i) => i);

/** Rounds of training at every client and averaging by rows; the shared model is `NAME/` at the end. */
async function rounds(lab: Lab, name: string, options: string, isPrivate: boolean, sizes: readonly number[]) {
  for (let round = 0; round < ROUNDS; round++) {
    for (const i of EACH) {
      const from = round === 0 ? "--init mlp.json" : `${name}/`;
      const usual = "--epochs 3 --batch-size 16 --optimizer sgd --momentum 0.9 --lr 0.05 --schedule constant";
      const goesOn = round === 0 ? "" : ` --private-from ${name}-private-${i}`;
      const second = isPrivate ? ` --private-head ${name}-private-${i}${goesOn}` : "";
      const place = `--save-every 0 --overwrite -o ${name}-${i}/`;
      await run(lab, "train", `${from} --data client-${i}.jsonl ${usual} ${options}${second} ${place}`);
    }
    const models = EACH.map((i) => `${name}-${i}/`).join(" ");
    await run(lab, "merge", `${models} --method linear --weight ${sizes.join(",")} --overwrite -o ${name}/`);
  }
}

export const experiment = experimentOf({
  title: "Private heads beside one that is averaged: `--private-head`",
  about: `Points around ten centres, ${MOST} rows of the first class down to a fiftieth of the last, spread unevenly over ${CLIENTS} clients. ${ROUNDS} rounds: each
trains the shared perceptron for three epochs of its rows, and bodies and heads are averaged by rows (\`merge --method linear\`), which
private heads are not. *Averaging* trains the head as usual. Accuracy of the shared model on rows of all classes alike and of the four rarest
(tail), *even* with rows of one length; and at the clients, on other rows that are spread as their own: of the shared model, of the client's
body with its private head, and of the shared model with that head's lengths (*turned*, \`norm_realign\`), the mean over clients. In 15 epochs a
body that follows the fixed head stays behind one that follows its own, so *averaging* is ahead on rows of all classes, against the paper.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "averaging: all": {},
    "shared: all": {},
    "shared, even: all": {},
    "averaging: tail": {},
    "shared: tail": {},
    "shared, even: tail": {},
    "averaging: clients": {},
    "shared: clients": {},
    "private: clients": {},
    "turned: clients": {},
    "private − shared, clients": { above: 0.01 },
    "turned − shared, clients": { above: 0.01 },
    "even − shared, tail": { above: 0.02 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const sizes = writeRows(lab, seed);
      lab.fresh({ model_type: "mlp", input_size: INPUTS, hidden_sizes: [64, 32], num_labels: CLASSES }, "mlp");
      const own = `--seed ${seed}`;
      await rounds(lab, "plain", own, false, sizes);
      await rounds(lab, "fixed", `${own} --head sparse-etf --etf-steps 2000`, true, sizes);
      await run(lab, "merge", `fixed/ --method norm_realign --head ${HEAD} -o even/`);
      for (const i of EACH)
        await run(lab, "merge", `fixed/ fixed-private-${i} --method norm_realign --head ${HEAD} -o turned-${i}/`);
      const atClients = async (model: (i: number) => string) => {
        const found: number[] = [];
        for (const i of EACH) found.push(await accuracy(lab, model(i), `client-${i}-held`));
        return mean(found);
      };
      const shared = await atClients(() => "fixed/");
      const mine = await atClients((i) => `fixed-private-${i}`);
      const turned = await atClients((i) => `turned-${i}/`);
      const tail = await accuracy(lab, "fixed/", "tail");
      const even = await accuracy(lab, "even/", "tail");
      return {
        "averaging: all": await accuracy(lab, "plain/", "all"),
        "shared: all": await accuracy(lab, "fixed/", "all"),
        "shared, even: all": await accuracy(lab, "even/", "all"),
        "averaging: tail": await accuracy(lab, "plain/", "tail"),
        "shared: tail": tail,
        "shared, even: tail": even,
        "averaging: clients": await atClients(() => "plain/"),
        "shared: clients": shared,
        "private: clients": mine,
        "turned: clients": turned,
        "private − shared, clients": mine - shared,
        "turned − shared, clients": turned - shared,
        "even − shared, tail": even - tail,
      };
    }),
});
