/** Sets learning from logged decisions up: rows, a model of their rewards, batches and the objective. */
import { batchKey, type NumbersBatch, stackExamples } from "../../data/batch.ts";
import { groupsOf } from "../../data/groups.ts";
import { BatchOrder } from "../../data/order.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { type BatchSource, digestOf, type OrderChoice } from "../../run/training/batch-source.ts";
import type { Objective } from "../../run/training/objective.ts";
import type { Opened, TrainingData } from "../../run/training/technique.ts";
import { add, neg } from "../../tensor/ops/elementwise.ts";
import { gather } from "../../tensor/ops/gather.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import { logSoftmax, softmax } from "../../tensor/ops/softmax.ts";
import type { AlignRun } from "../run.ts";
import type { LOGGED, LoggedMethod } from "./contract.ts";
import { type LoggedRow, readLogged } from "./rows.ts";
import { expectedRewards } from "./value-model.ts";

export interface LoggedBatch {
  readonly examples: NumbersBatch;
  readonly rows: readonly LoggedRow[];
  /** (rows, actions) */
  readonly expected: readonly Float64Array[];
}

/** Contexts as a classifier of numbers takes them. */
export const examplesOf = (rows: readonly LoggedRow[], shape: readonly number[]): NumbersBatch =>
  stackExamples(rows.map(({ x, action, group, place }) => ({ x, shape, label: action, group, place })));

/** Length of the one list of numbers that a model takes, and the number of its classes. Throws UserError. */
export function decisionShape({ examples, ref, task }: Pick<Opened, "examples" | "ref" | "task">) {
  const { shape } = examples;
  if (task !== "classifier" || shape?.length !== 1)
    throw new UserError(
      `logged decisions are learnt by a classifier of numbers, and ${ref} is a ${task}${shape === undefined ? "" : ` of inputs (${shape.join(", ")})`}`,
      "take one: bun run train --init mlp.json makes it, whose classes are the actions",
    );
  return { inputs: shape[0]!, actions: examples.classes };
}

/** Reads the rows and fits the model of their rewards. Throws UserError. */
export async function readDecisions(
  { options, seed }: Pick<AlignRun, "options" | "seed">,
  { values }: { readonly values: Values<typeof LOGGED> },
  opened: Opened,
): Promise<TrainingData<LoggedBatch>> {
  const shape = decisionShape(opened);
  const groups = groupsOf(options.data, "--data", options.columns);
  const rows = await readLogged(groups, { ...shape, weights: values.logged_weights });
  const { value_folds: folds, value_ridge: penalty } = values;
  const expected = expectedRewards(rows, { actions: shape.actions, folds, penalty, seed });
  const counts = groups.map(({ name }, group) => {
    const count = rows.filter((row) => row.group === group).length;
    return { name, rows: count, lengths: new Int32Array(count).fill(1) };
  });
  return { source: batches(rows, expected, counts, { order: opened.order, inputs: shape.inputs }) };
}

function batches(
  rows: readonly LoggedRow[],
  expected: readonly Float64Array[],
  groups: readonly { readonly name: string; readonly rows: number; readonly lengths: Int32Array }[],
  { order, inputs }: { readonly order: OrderChoice; readonly inputs: number },
): BatchSource<LoggedBatch> {
  const { pack: _, ...rest } = order;
  const numbers = rows.map(({ action, propensity, reward }) => Float32Array.of(action, propensity, reward));
  const plan = new BatchOrder({ ...rest, groups, digest: digestOf([...rows.map(({ x }) => x), ...numbers]) });
  const batchOf = (places: readonly number[]): LoggedBatch => ({
    examples: examplesOf(
      places.map((i) => rows[i]!),
      [inputs],
    ),
    rows: places.map((i) => rows[i]!),
    expected: places.map((i) => expected[i]!),
  });
  return {
    groups,
    batchesPerEpoch: plan.batchesPerEpoch,
    largest: () => batchOf(Array.from({ length: Math.min(order.batchSize, rows.length) }, () => 0)),
    next() {
      const { bins, epoch } = plan.next();
      return { batch: batchOf(bins.flat()), epoch };
    },
    state: () => plan.state(),
    load: (state, what) => plan.load(state, what),
  };
}

/** The objective: minus the mean value of the rows, and what the method takes off. */
export function loggedObjective(model: Model, { method, values }: Bound<LoggedMethod>): Objective<LoggedBatch> {
  return {
    name: method.name,
    key: ({ examples }) => batchKey(examples),
    counted: ({ rows }) => rows.length,
    size: ({ rows }) => rows.length,
    describe: ({ rows }) => rows.map(({ place }) => place).join(", "),

    record(rec, { examples, rows }) {
      const b = rows.length;
      const actions = model.sizes.outputs;
      const { hidden, head } = model.record(rec, recordInputs(rec, examples));
      const logits = head(hidden);
      const probabilities = softmax(rec, logits);
      const taken = rec.input("actions", [b, 1], "i32");
      const expected = rec.input("expected", [b, actions]);
      const weights = rec.input("weights", [b]);
      const { values: worth, penalties = {} } = method.value(rec, {
        probabilities,
        logs: logSoftmax(rec, logits),
        inverse: rec.input("inverse", [b]),
        reward: rec.input("reward", [b]),
        taken: rec.reshape(gather(rec, probabilities, taken), [b]),
        expected,
        expectedTaken: rec.reshape(gather(rec, expected, taken), [b]),
        values,
      });
      const share = rec.input("share", [1]);
      const loss = neg(rec, worth);
      const terms = Object.entries(penalties);
      const whole = terms.reduce((sum, [, term]) => add(rec, sum, dot(rec, term, share)), dot(rec, loss, weights));
      return {
        backward: [[loss, weights], ...terms.map(([, term]) => [term, share] as const)],
        metrics: {
          loss: whole,
          value: dot(rec, worth, weights),
          ...Object.fromEntries(terms.map(([name, term]) => [name, dot(rec, term, share)])),
        },
      };
    },

    fill(program, { examples, rows, expected }, total) {
      fillInputs(program, examples);
      const write = (name: string, of: (row: LoggedRow) => number) => {
        if (program.takes(name)) program.write(name, Float32Array.from(rows, of));
      };
      if (program.takes("actions"))
        program.write(
          "actions",
          Int32Array.from(rows, ({ action }) => action),
        );
      if (program.takes("expected")) program.write("expected", Float32Array.from(expected.flatMap((own) => [...own])));
      write("inverse", ({ propensity }) => 1 / propensity);
      write("reward", ({ reward }) => reward);
      write("weights", () => 1 / total);
      if (program.takes("share")) program.write("share", Float32Array.of(rows.length / total));
    },
  };
}
