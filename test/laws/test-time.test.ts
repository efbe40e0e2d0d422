/** What holds for every method at test time, on a small network with norms over the batch. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { loadMethods } from "../../src/method/registry.ts";
import type { Json } from "../../src/model/architecture.ts";
import type { TestTimeMethod } from "../../src/run/test-time/contract.ts";
import { runStretches } from "../../src/run/test-time/stream.ts";
import { BATCH, HEADED, learnerOf, metaParts, movingBatches, scoresOf } from "../run/test-time/lab.ts";

setDefaultTimeout(120_000);

/** Options under which a method is quick, and those that make it the source where its rate is 0. */
const QUICK: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  cotta: { views: 2 },
  psmt: { views: 2, fisher_rows: 16 },
  rmt: { warmup_rows: 16, projection: 6 },
  vida: { unsure_views: 2, rank_high: 3, adapter_epochs: 1 },
  eata: { eata_rows: 16 },
  "meta-dmoe": await metaParts(),
};
/** Where the source is unsure, a teacher's answer is that of other views. */
const ONE_VIEW: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  cotta: { sure_above: 0 },
  psmt: { sure_above: 0 },
};

/** The networks of methods that need another one. */
const NETS: Readonly<Record<string, Json>> = { drm: HEADED };

const batches = movingBatches();
const methods = (await loadMethods("test-time")) as TestTimeMethod[];
const answers = (scores: readonly Float32Array[], classes: number) =>
  scores.flatMap((own) =>
    Array.from({ length: own.length / classes }, (_, i) => {
      const row = own.subarray(i * classes, (i + 1) * classes);
      return row.indexOf(Math.max(...row));
    }),
  );

describe.each(methods.map((method) => [method.name, method] as const))("%s", (name, method) => {
  const given = { values: QUICK[name] ?? {}, ...(NETS[name] ? { net: NETS[name] } : {}) };
  test("predicting changes nothing, a reset comes back bit by bit, and a seed gives the same scores", async () => {
    const lab = await learnerOf(name, given);
    const first = await scoresOf(lab.learner, batches, false);
    const again = await scoresOf(lab.learner, batches, false);
    expect(again).toEqual(first);
    const learnt = await scoresOf(lab.learner, batches);
    expect(learnt[0]).toEqual(first[0]!);
    await lab.learner.reset();
    expect(await scoresOf(lab.learner, batches)).toEqual(learnt);
    lab.free();
    const other = await learnerOf(name, given);
    expect(await scoresOf(other.learner, batches)).toEqual(learnt);
    other.free();
  });

  if (method.rate !== undefined)
    test("a rate of 0 answers as the source does, by the statistics of the batch", async () => {
      const still = await learnerOf("bn-adapt", given.net ? { net: given.net } : {});
      const own = await learnerOf(name, { ...given, rate: 0, values: { ...QUICK[name], ...ONE_VIEW[name] } });
      const { classes } = own.setting;
      expect(answers(await scoresOf(own.learner, batches), classes)).toEqual(
        answers(await scoresOf(still.learner, batches), classes),
      );
      still.free();
      own.free();
    });
});

test("a reset before each batch is a stream of first batches", async () => {
  const lab = await learnerOf("tent", { rate: 0.1 });
  const rows = batches.flat().map((example) => ({ example, domain: "moved" }));
  const given: number[][] = [];
  await runStretches(lab.learner, [{ name: "moved", repetition: 0, rows }], {
    ...{ batchSize: BATCH, episodic: "batch", signal: lab.setting.signal },
    answered: (found) => given.push(...found.map(({ scores }) => [...scores])),
  });
  await lab.learner.reset();
  const still = (await scoresOf(lab.learner, batches, false)).flatMap((own) => {
    const { classes } = lab.setting;
    return Array.from({ length: BATCH }, (_, i) => [...own.subarray(i * classes, (i + 1) * classes)]);
  });
  expect(given).toEqual(still);
  lab.free();
});
